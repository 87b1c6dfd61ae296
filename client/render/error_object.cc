#include "client/render/error_object.h"

#include <algorithm>
#include <string>

#include "client/render/json_access.h"
#include "core/base/error.h"

namespace quantized {

absl::Status ErrorInObject(std::string_view text) {
  const Json read = ParsedJson(text);
  const std::string type = TextAt(read, "error_type");
  if (type.empty()) return absl::OkStatus();
  const auto rows = AllErrors();
  const auto row = std::find_if(rows.begin(), rows.end(),
                                [&](const ErrorRow& one) { return one.error_type == type; });
  return MakeError(row == rows.end() ? Error::kInternal : row->error, TextAt(read, "message"),
                   TextAt(read, "suggestion"));
}

}  // namespace quantized
