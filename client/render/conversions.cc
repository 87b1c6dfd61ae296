#include "client/render/conversions.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "client/render/text.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"

namespace quantized {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::array kKeys = {"from", "to", "default_level", "exact", "otherwise"};

bool IsRow(const Json& row) {
  for (const char* key : kKeys) {
    if (!row.is_object() || !row.contains(key) || !row[key].is_string()) return false;
  }
  return true;
}

std::string Paragraph(const Json& row) {
  const auto text = [&](const char* key) {
    const std::string value = Printable(row[key].get_ref<const std::string&>());
    return value.empty() ? std::string("-") : value;
  };
  return fmt::format("{} to {}\n  Default level: {}\n  Nothing is lost: {}\n  Otherwise: {}\n",
                     text("from"), text("to"), text("default_level"), text("exact"),
                     text("otherwise"));
}

}  // namespace

absl::StatusOr<ConversionsText> FormatConversions(std::string_view table) {
  const Json read = Json::parse(table, nullptr, /*allow_exceptions=*/false);
  const bool is_table = read.is_object() && read.contains("conversions") &&
                        read["conversions"].is_array() &&
                        std::all_of(read["conversions"].begin(), read["conversions"].end(), IsRow);
  if (!is_table) return MakeError(Error::kInternal, "the table of conversions cannot be read");
  ConversionsText text;
  for (const Json& row : read["conversions"]) text.human += Paragraph(row);
  text.json = read["conversions"].dump(2) + "\n";
  return text;
}

}  // namespace quantized
