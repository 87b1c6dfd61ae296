// A quality report as one page that needs nothing beside it: no network, no files, light and dark.
// It is HTML and well-formed XML; names of any bytes stand in it as text.
#pragma once

#include <string>

#include "core/report/quality_report.h"

namespace quantized {

std::string ToHtml(const QualityReport& report);

}  // namespace quantized
