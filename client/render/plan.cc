#include "client/render/plan.h"

#include <fmt/format.h>

#include <array>
#include <nlohmann/json.hpp>
#include <vector>

#include "client/render/substitution_kinds.h"
#include "client/render/text.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"

namespace quantized {
namespace {

using Json = nlohmann::ordered_json;

enum class KeyKind { kText, kFlag, kCount, kNumber, kNumberOrNull, kArray, kObjectOrNull };

struct KeyRow {
  std::string_view key;
  KeyKind kind;
};
constexpr std::array kPlanKeys = {
    KeyRow{"status", KeyKind::kText},
    KeyRow{"model_name", KeyKind::kText},
    KeyRow{"architecture", KeyKind::kText},
    KeyRow{"num_layers", KeyKind::kCount},
    KeyRow{"original_dtype", KeyKind::kText},
    KeyRow{"original_size", KeyKind::kCount},
    KeyRow{"outputs", KeyKind::kArray},
    KeyRow{"conversion", KeyKind::kObjectOrNull},
    KeyRow{"measures_importance", KeyKind::kFlag},
    KeyRow{"seconds", KeyKind::kNumberOrNull},
    KeyRow{"threads", KeyKind::kCount},
    KeyRow{"memory_needed_bytes", KeyKind::kCount},
    KeyRow{"memory_available_bytes", KeyKind::kCount},
    KeyRow{"device_memory_needed_bytes", KeyKind::kCount},
    KeyRow{"disk_needed_bytes", KeyKind::kCount},
    KeyRow{"disk_free_bytes", KeyKind::kCount},
    KeyRow{"warnings", KeyKind::kArray},
};
constexpr std::array kOutputKeys = {
    KeyRow{"quantization_level", KeyKind::kText}, KeyRow{"files", KeyKind::kArray},
    KeyRow{"file_size", KeyKind::kCount},         KeyRow{"bits_per_weight", KeyKind::kNumber},
    KeyRow{"substitutions", KeyKind::kArray},
};
constexpr std::array kConversionKeys = {
    KeyRow{"from", KeyKind::kText},
    KeyRow{"fidelity", KeyKind::kText},
    KeyRow{"why", KeyKind::kText},
    KeyRow{"relative_error", KeyKind::kNumber},
};
constexpr std::array kSubstitutionKeys = {
    KeyRow{"tensor", KeyKind::kText},
    KeyRow{"wanted_type", KeyKind::kText},
    KeyRow{"used_type", KeyKind::kText},
    KeyRow{"why", KeyKind::kText},
};

bool Fits(KeyKind kind, const Json& value) {
  switch (kind) {
    case KeyKind::kText:
      return value.is_string();
    case KeyKind::kCount:
      return value.is_number_unsigned();
    case KeyKind::kFlag:
      return value.is_boolean();
    case KeyKind::kNumber:
      return value.is_number();
    case KeyKind::kNumberOrNull:
      return value.is_number() || value.is_null();
    case KeyKind::kArray:
      return value.is_array();
    case KeyKind::kObjectOrNull:
      return value.is_object() || value.is_null();
  }
  return false;
}

absl::Status BadPlan(std::string_view what) {
  return MakeError(Error::kInternal, fmt::format("the plan of the job {}", what));
}

absl::Status CheckKeys(const Json& object, std::span<const KeyRow> keys) {
  if (!object.is_object()) return BadPlan("is not a JSON object");
  for (const KeyRow& row : keys) {
    const auto found = object.find(row.key);
    if (found == object.end()) return BadPlan(fmt::format("lacks the key '{}'", row.key));
    if (!Fits(row.kind, *found)) {
      return BadPlan(fmt::format("has '{}' of type {}", row.key, found->type_name()));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckTexts(const Json& array) {
  for (const Json& one : array) {
    if (!one.is_string()) return BadPlan(fmt::format("has a {} in place of text", one.type_name()));
  }
  return absl::OkStatus();
}

absl::Status Check(const Json& plan) {
  RETURN_IF_ERROR(CheckKeys(plan, kPlanKeys));
  RETURN_IF_ERROR(CheckTexts(plan["warnings"]));
  if (!plan["conversion"].is_null()) {
    RETURN_IF_ERROR(CheckKeys(plan["conversion"], kConversionKeys));
  }
  for (const Json& output : plan["outputs"]) {
    RETURN_IF_ERROR(CheckKeys(output, kOutputKeys));
    RETURN_IF_ERROR(CheckTexts(output["files"]));
    if (output["files"].empty()) return BadPlan("has an output without files");
    for (const Json& one : output["substitutions"]) {
      RETURN_IF_ERROR(CheckKeys(one, kSubstitutionKeys));
    }
  }
  return absl::OkStatus();
}

std::string TextOf(const Json& object, const char* key) {
  return Printable(object[key].get_ref<const std::string&>());
}

std::string BytesOf(const Json& object, const char* key) {
  return FormatBytes(object[key].get<uint64_t>());
}

std::string Row(std::string_view key, std::string_view value) {
  return fmt::format("{}: {}\n", key, Printable(value));
}

std::string OutputTable(const Json& outputs) {
  std::vector<std::vector<std::string>> rows = {
      {"LEVEL", "SIZE", "BITS/WEIGHT", "FILES", "OUTPUT"}};
  for (const Json& output : outputs) {
    rows.push_back({TextOf(output, "quantization_level"), BytesOf(output, "file_size"),
                    fmt::format("{:.2f}", output["bits_per_weight"].get<double>()),
                    std::to_string(output["files"].size()),
                    Printable(output["files"][0].get_ref<const std::string&>())});
  }
  return AlignedRows(rows);
}

std::string SubstitutionRows(const Json& output) {
  SubstitutionKinds kinds;
  for (const Json& one : output["substitutions"]) {
    kinds.Add(TextOf(one, "wanted_type"), TextOf(one, "used_type"), TextOf(one, "why"));
  }
  std::string rows;
  for (const std::string& line : kinds.Lines()) {
    rows += Row("Substitution", fmt::format("{}: {}", TextOf(output, "quantization_level"), line));
  }
  return rows;
}

std::string ConversionRow(const Json& conversion) {
  std::string text =
      fmt::format("{} from {}", TextOf(conversion, "fidelity"), TextOf(conversion, "from"));
  if (const std::string why = TextOf(conversion, "why"); !why.empty()) text += ": " + why;
  const double error = conversion["relative_error"].get<double>();
  if (error > 0) text += fmt::format("; weights change by about {}", WeightChangeOf(error));
  return Row("Conversion", text);
}

std::string Human(const Json& plan) {
  const uint64_t layers = plan["num_layers"].get<uint64_t>();
  std::string text =
      Row("Model", fmt::format("{} ({}, {} layer{})", TextOf(plan, "model_name"),
                               TextOf(plan, "architecture"), layers, layers == 1 ? "" : "s"));
  text += Row("Original Size", fmt::format("{} ({})", BytesOf(plan, "original_size"),
                                           TextOf(plan, "original_dtype")));
  text += OutputTable(plan["outputs"]);
  for (const Json& output : plan["outputs"]) text += SubstitutionRows(output);
  if (!plan["conversion"].is_null()) text += ConversionRow(plan["conversion"]);
  if (plan["measures_importance"].get<bool>()) text += Row("Importance Matrix", "measured first");
  if (!plan["seconds"].is_null()) {
    text += Row("Time", fmt::format("about {} for running the model on the calibration text, by a "
                                    "probe of one layer",
                                    FormatElapsed(plan["seconds"].get<double>())));
  }
  text += Row(
      "Memory",
      fmt::format("{} needed with {} threads, {} available", BytesOf(plan, "memory_needed_bytes"),
                  plan["threads"].get<uint64_t>(), BytesOf(plan, "memory_available_bytes")));
  if (plan["device_memory_needed_bytes"].get<uint64_t>() > 0) {
    text +=
        Row("Device Memory", fmt::format("{} needed", BytesOf(plan, "device_memory_needed_bytes")));
  }
  text += Row("Disk", fmt::format("{} needed, {} free", BytesOf(plan, "disk_needed_bytes"),
                                  BytesOf(plan, "disk_free_bytes")));
  for (const Json& warning : plan["warnings"]) {
    text += Row("Warning", warning.get_ref<const std::string&>());
  }
  return text;
}

}  // namespace

absl::StatusOr<ConversionPlan> ReadConversionPlan(std::string_view plan) {
  const Json read = Json::parse(plan, nullptr, /*allow_exceptions=*/false);
  RETURN_IF_ERROR(Check(read));
  const Json& conversion = read["conversion"];
  if (conversion.is_null() || read["outputs"].size() != 1) {
    return BadPlan("is not that of a conversion");
  }
  return ConversionPlan{.level = TextOf(read["outputs"][0], "quantization_level"),
                        .from = TextOf(conversion, "from"),
                        .fidelity = TextOf(conversion, "fidelity"),
                        .why = TextOf(conversion, "why"),
                        .relative_error = conversion["relative_error"].get<double>()};
}

std::string WeightChangeOf(double relative_error) {
  return fmt::format("{:.2g} %", 100 * relative_error);
}

absl::StatusOr<PlanText> FormatPlan(std::string_view plan, const std::optional<HubFacts>& hub) {
  Json read = Json::parse(plan, nullptr, /*allow_exceptions=*/false);
  RETURN_IF_ERROR(Check(read));
  std::string download;
  if (hub) {
    read["model_name"] = hub->name;
    read["download_bytes"] = hub->download_bytes;
    if (hub->download_bytes > 0) download = Row("Download", FormatBytes(hub->download_bytes));
  }
  return PlanText{.human = Human(read) + download,
                  .json = read.dump(2, ' ', false, Json::error_handler_t::replace) + "\n"};
}

}  // namespace quantized
