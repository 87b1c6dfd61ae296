#include "client/render/model_info.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <nlohmann/json.hpp>
#include <vector>

#include "client/render/text.h"
#include "core/base/error.h"

namespace quantized {
namespace {

using Json = nlohmann::ordered_json;

enum class KeyKind { kText, kNumber, kBigNumber };  // big ones get thousands separators

struct KeyRow {
  std::string_view key;    // JSON
  std::string_view label;  // human
  KeyKind kind;
};
// The contract's keys, in its order.
constexpr std::array kKeys = {
    KeyRow{"model_name", "Model", KeyKind::kText},
    KeyRow{"architecture", "Architecture", KeyKind::kText},
    KeyRow{"parameter_count", "Parameters", KeyKind::kBigNumber},
    KeyRow{"hidden_size", "Hidden Size", KeyKind::kNumber},
    KeyRow{"num_layers", "Layers", KeyKind::kNumber},
    KeyRow{"num_heads", "Heads", KeyKind::kNumber},
    KeyRow{"vocab_size", "Vocab Size", KeyKind::kNumber},
    KeyRow{"torch_dtype", "Dtype", KeyKind::kText},
};

bool IsContractKey(std::string_view key) {
  return std::any_of(kKeys.begin(), kKeys.end(), [&](const KeyRow& row) { return row.key == key; });
}

// "block_count" → "Block Count".
std::string TitleOf(std::string_view key) {
  std::string title;
  bool begins = true;
  for (const char c : key) {
    title += c == '_' ? ' ' : begins ? static_cast<char>(std::toupper(c)) : c;
    begins = c == '_';
  }
  return title;
}

std::string ValueText(const Json& value) {
  return Printable(value.is_string() ? value.get<std::string>() : value.dump());
}

// "Size: 103.7 MB" of {"size_bytes": 103668480}; "Tensor Types: F32 61, Q5_0 166" of an object of
// numbers. Empty for what has no form of one line.
std::string FurtherRow(std::string_view key, const Json& value) {
  constexpr std::string_view kBytes = "_bytes";
  if (key.ends_with(kBytes) && value.is_number_unsigned()) {
    key.remove_suffix(kBytes.size());
    return fmt::format("{}: {}\n", Printable(TitleOf(key)), FormatBytes(value.get<uint64_t>()));
  }
  std::string text;
  if (key.ends_with("_error") && value.is_number()) {
    text = fmt::format("{:.3g}", value.get<double>());
  } else if (value.is_number_float()) {
    text = fmt::format("{:.2f}", value.get<double>());
  } else if (value.is_object()) {
    for (const auto& [name, count] : value.items()) {
      if (count.is_structured()) return "";
      text += fmt::format("{}{} {}", text.empty() ? "" : ", ", Printable(name), ValueText(count));
    }
  } else if (value.is_boolean()) {
    text = value.get<bool>() ? "yes" : "no";
  } else if (value.is_primitive() && !value.is_null()) {
    text = ValueText(value);
  }
  return text.empty() ? "" : fmt::format("{}: {}\n", Printable(TitleOf(key)), text);
}

std::string CellText(const Json& value) {
  if (value.is_number_float()) return fmt::format("{:.3g}", value.get<double>());
  if (value.is_null()) return "-";
  std::string text = value.is_array() ? "" : ValueText(value);
  if (!value.is_array()) return text.empty() ? "-" : text;
  for (const Json& one : value) text += (text.empty() ? "" : " x ") + ValueText(one);
  return text;
}

// "size_bytes" → "SIZE BYTES".
std::string HeadingOf(std::string_view key) {
  std::string heading;
  for (const char c : key) heading += c == '_' ? ' ' : static_cast<char>(std::toupper(c));
  return Printable(heading);
}

// An array of objects of the same keys as a table. Empty for what is none.
std::string TableOf(const Json& value) {
  if (!value.is_array() || value.empty() || !value[0].is_object()) return "";
  std::vector<std::vector<std::string>> rows(1);
  for (const auto& [key, cell] : value[0].items()) rows[0].push_back(HeadingOf(key));
  for (const Json& object : value) {
    std::vector<std::string>& row = rows.emplace_back();
    for (const auto& [key, cell] : value[0].items()) {
      if (!object.is_object() || !object.contains(key)) return "";
      row.push_back(CellText(object[key]));
    }
  }
  return "\n" + AlignedRows(rows);
}

std::string ContractValue(const KeyRow& row, const Json& value) {
  if (row.kind == KeyKind::kBigNumber) return WithThousands(value.get<uint64_t>());
  return ValueText(value);
}

absl::Status BadInspection(std::string_view what) {
  return MakeError(Error::kInternal, fmt::format("the inspection of the model {}", what));
}

}  // namespace

absl::StatusOr<ModelInfoText> FormatModelInfo(std::string_view inspection, std::string_view name) {
  Json read = Json::parse(inspection, nullptr, /*allow_exceptions=*/false);
  if (!read.is_object()) return BadInspection("is not a JSON object");
  if (!name.empty()) read["model_name"] = name;
  ModelInfoText text;
  Json ordered = Json::object();
  for (const KeyRow& row : kKeys) {
    const auto found = read.find(row.key);
    if (found == read.end()) return BadInspection(fmt::format("lacks the key '{}'", row.key));
    const bool fits = row.kind == KeyKind::kText ? found->is_string() : found->is_number_unsigned();
    if (!fits) {
      return BadInspection(fmt::format("has '{}' of type {}", row.key, found->type_name()));
    }
    ordered[std::string(row.key)] = *found;
    const bool is_told = *found != (row.kind == KeyKind::kText ? Json("") : Json(0));
    if (is_told) text.human += fmt::format("{}: {}\n", row.label, ContractValue(row, *found));
  }
  std::string tables;
  for (const auto& [key, value] : read.items()) {
    if (IsContractKey(key)) continue;
    ordered[key] = value;
    text.human += FurtherRow(key, value);
    tables += TableOf(value);
  }
  text.human += tables;
  text.json = ordered.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
  return text;
}

}  // namespace quantized
