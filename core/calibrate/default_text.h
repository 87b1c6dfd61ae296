// The calibration text that comes with the program, so that nothing is downloaded. Its parts, where
// they are from and their licences: core/calibrate/data/README.md.
#pragma once

#include <string_view>

namespace quantized {

// UTF-8, blank lines between documents: CalibrationFormat::kText. Lives as long as the program.
std::string_view DefaultCalibrationText();

}  // namespace quantized
