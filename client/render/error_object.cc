#include "client/render/error_object.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>

#include "core/base/error.h"

namespace quantized {
namespace {

using Json = nlohmann::ordered_json;

std::string TextAt(const Json& object, std::string_view key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

}  // namespace

absl::Status ErrorInObject(std::string_view text) {
  const Json read = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!read.is_object()) return absl::OkStatus();
  const std::string type = TextAt(read, "error_type");
  if (type.empty()) return absl::OkStatus();
  const auto rows = AllErrors();
  const auto row = std::find_if(rows.begin(), rows.end(),
                                [&](const ErrorRow& one) { return one.error_type == type; });
  return MakeError(row == rows.end() ? Error::kInternal : row->error, TextAt(read, "message"),
                   TextAt(read, "suggestion"));
}

}  // namespace quantized
