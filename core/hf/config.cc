#include "core/hf/config.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/hf/config_classes.h"
#include "core/hf/json_file.h"
#include "core/hf/json_number.h"

namespace quantized {
namespace {

using nlohmann::json;

constexpr uint64_t kMaxConfigBytes = 16 << 20;
constexpr std::string_view kFile = "config.json";

absl::Status WrongType(std::string_view field, std::string_view expected, const json& found) {
  return MakeError(Error::kValidationFailed, StrCat(kFile, ": ", field, ": expected ", expected,
                                                    ", found ", JsonText(found)));
}

// A member of `object` that is there and is not null.
const json* Present(const json& object, std::string_view name) {
  const auto found = object.find(name);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

// As Present, but anything other than an object is an error.
absl::StatusOr<const json*> PresentObject(const json& object, std::string_view name) {
  const json* value = Present(object, name);
  if (value != nullptr && !value->is_object()) return WrongType(name, "an object", *value);
  return value;
}

bool IsPositiveNumber(const json& value) { return value.is_number() && value.get<double>() > 0; }

// The default's value; null where the fields that it is made of do not allow it.
json ValueOf(const ConfigDefault& rule, const json& fields) {
  const auto whole = [](double value) { return json(static_cast<uint64_t>(value)); };
  if (rule.from == ConfigDefault::From::kValue) {
    return rule.value == std::floor(rule.value) ? whole(rule.value) : json(rule.value);
  }
  const json* field = Present(fields, rule.field);
  if (field == nullptr || rule.from == ConfigDefault::From::kField) {
    return field == nullptr ? json() : *field;
  }
  const json* divisor = Present(fields, rule.divisor);
  if (divisor == nullptr || !IsPositiveNumber(*field) || !IsPositiveNumber(*divisor)) return json();
  const double quotient = std::floor(field->get<double>() / divisor->get<double>());
  return quotient < 0x1p53 ? whole(quotient) : json();
}

// Whether a class that checks its rope block accepts this one.
bool RopeIsComplete(const json& fields) {
  const json* scaling = Present(fields, "rope_scaling");
  if (scaling == nullptr) return true;
  const auto find = [&](std::string_view name) { return Present(*scaling, name); };
  const json* type = find("rope_type") != nullptr ? find("rope_type") : find("type");
  const bool is_name = type != nullptr && type->is_string();
  const RopeTypeMembers* members =
      FindRopeTypeMembers(is_name ? type->get_ref<const std::string&>() : "default");
  return members == nullptr || std::ranges::all_of(members->required, [&](std::string_view name) {
           return scaling->contains(name);
         });
}

// As transformers' Phi3Config checks its rope_scaling.
bool IsLongRope(const json& scaling, const json& fields) {
  const auto number = [&](std::string_view name) {
    const json* value = Present(fields, name);
    return value != nullptr && value->is_number() ? value->get<double>() : 0.0;
  };
  const double heads = number("num_attention_heads");
  if (heads <= 0 || scaling.size() != 3 || scaling.value("type", json()) != "longrope") {
    return false;
  }
  const double rotated =
      std::floor(std::floor(number("hidden_size") / heads) * number("partial_rotary_factor"));
  return std::ranges::all_of(std::array{"short_factor", "long_factor"}, [&](const char* name) {
    const json* list = Present(scaling, name);
    return list != nullptr && list->is_array() &&
           static_cast<double>(list->size()) == std::floor(rotated / 2) &&
           std::ranges::all_of(*list, [](const json& item) { return item.is_number(); });
  });
}

// `fields` as its class has them; nullopt when the class refuses them.
std::optional<json> WithDefaults(const ConfigClass& row, json fields) {
  using When = ConfigDefault::When;
  for (const ConfigDefault& rule : row.defaults) {
    const auto found = fields.find(rule.name);
    const bool missing = found == fields.end();
    const bool applies =
        missing ? rule.when != When::kNull : found->is_null() && rule.when != When::kMissing;
    if (applies) fields[std::string(rule.name)] = ValueOf(rule, fields);
  }
  if (const auto scaling = fields.find("rope_scaling");
      row.rope_type_from_type && scaling != fields.end() && scaling->contains("type")) {
    (*scaling)["rope_type"] = (*scaling)["type"];
  }
  if (row.has_long_rope_only && Present(fields, "rope_scaling") != nullptr) {
    json& scaling = fields["rope_scaling"];
    const json type = scaling.value("type", json());
    if (type == "su" || type == "yarn") scaling["type"] = "longrope";
    if (!IsLongRope(scaling, fields)) return std::nullopt;
  }
  if (row.checks_rope && !RopeIsComplete(fields)) return std::nullopt;
  return fields;
}

// What the class of `fields`' own model_type makes of it.
absl::Status ApplyClass(json& fields) {
  RETURN_IF_ERROR(PresentObject(fields, "rope_scaling").status());
  const json* type = Present(fields, "model_type");
  if (type == nullptr) return absl::OkStatus();
  if (!type->is_string()) return WrongType("model_type", "a name", *type);
  const ConfigClass* row = FindConfigClass(type->get_ref<const std::string&>());
  if (row == nullptr) return absl::OkStatus();
  std::optional<json> result = WithDefaults(*row, fields);
  if (result && !row->text_class.empty()) {
    ASSIGN_OR_RETURN(const json* text, PresentObject(*result, "text_config"));
    std::optional<json> part =
        WithDefaults(*FindConfigClass(row->text_class), text == nullptr ? json::object() : *text);
    if (part) {
      (*result)["text_config"] = *std::move(part);
    } else {
      result.reset();
    }
  }
  if (result) fields = *std::move(result);
  return absl::OkStatus();
}

// Some families call the text part by another name.
absl::Status NameTextPart(json& fields) {
  for (const std::string_view name :
       {"llm_config", "lm_config", "thinker_config", "language_config", "lfm"}) {
    if (!fields.contains(name)) continue;
    ASSIGN_OR_RETURN(const json* part, PresentObject(fields, name));
    if (part != nullptr && name == "thinker_config") {
      ASSIGN_OR_RETURN(part, PresentObject(*part, "text_config"));
    }
    if (part != nullptr) {
      json text = *part;  // a copy first: the assignment below may move what `part` points to
      fields["text_config"] = std::move(text);
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> FirstArchitecture(const json& fields) {
  const json* names = Present(fields, "architectures");
  if (names == nullptr || (names->is_array() && names->empty())) return "";
  if (!names->is_array() || !names->front().is_string()) {
    return WrongType("architectures", "a list of names", *names);
  }
  return names->front().get<std::string>();
}

// `name` in `rope` from the first of `sources` that the root has, where it is not there yet.
void FillFromRoot(const HfConfig& config, std::string_view name,
                  std::span<const std::string_view> sources, json& rope) {
  if (rope.contains(name)) return;
  const json* value = config.Find(sources);
  if (value != nullptr && !value->is_null()) rope[std::string(name)] = *value;
}

constexpr std::string_view kThetaNames[] = {"global_rope_theta", "rope_global_theta",
                                            "rope_theta_global", "rope_theta", "rotary_emb_base"};
constexpr std::string_view kLocalThetaNames[] = {"local_rope_theta", "rope_local_theta",
                                                 "rope_theta_local", "swa_rope_theta",
                                                 "rope_local_base_freq"};
constexpr std::string_view kPartialFactorNames[] = {"partial_rotary_factor", "rope_pct",
                                                    "rope_percent"};
constexpr std::string_view kOriginalLengthNames[] = {"original_max_position_embeddings"};

absl::StatusOr<json> GatherRope(const HfConfig& config) {
  // A rope_parameters that is there, even as null, hides rope_scaling.
  constexpr std::string_view kBlockNames[] = {"rope_parameters", "rope_scaling"};
  const json* block = config.Find(kBlockNames);
  json rope = block == nullptr || block->is_null() ? json::object() : *block;
  if (!rope.is_object()) return WrongType("rope_scaling", "an object", rope);

  if (!rope.contains("full_attention") && !rope.contains("sliding_attention")) {
    const json* local_theta = config.Find(kLocalThetaNames);
    if (local_theta != nullptr && !local_theta->is_null()) {
      rope["sliding_attention"] = json{{"rope_theta", *local_theta}};
    }
    FillFromRoot(config, "rope_theta", kThetaNames, rope);
    if (!rope.contains("rope_type") && Present(rope, "type") != nullptr) {
      rope["rope_type"] = json(*Present(rope, "type"));
    }
    FillFromRoot(config, "partial_rotary_factor", kPartialFactorNames, rope);
    FillFromRoot(config, "original_max_position_embeddings", kOriginalLengthNames, rope);
  }
  for (const std::string_view name : {"full_attention", "sliding_attention"}) {
    RETURN_IF_ERROR(PresentObject(rope, name).status());
  }
  return rope;
}

std::string FieldName(std::span<const std::string_view> names, const json& fields) {
  for (const std::string_view name : names) {
    if (fields.contains(name)) return StrCat(kFile, ": ", name);
  }
  return std::string(kFile);
}

}  // namespace

absl::StatusOr<HfConfig> HfConfig::Read(const std::filesystem::path& directory) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(directory / kFile, kMaxConfigBytes));
  ASSIGN_OR_RETURN(HfConfig config, Parse(text));
  if (!config.quantization_) {
    ASSIGN_OR_RETURN(config.quantization_, QuantizationBeside(directory));
  }
  return config;
}

absl::StatusOr<HfConfig> HfConfig::Parse(std::string_view text) {
  HfConfig config;
  ASSIGN_OR_RETURN(config.file_, ParseJsonObject(text, kFile));
  config.fields_ = config.file_;
  json& fields = config.fields_;
  RETURN_IF_ERROR(ApplyClass(fields));
  RETURN_IF_ERROR(NameTextPart(fields));

  ASSIGN_OR_RETURN(config.architecture_, FirstArchitecture(fields));
  ASSIGN_OR_RETURN(const json* text_part, PresentObject(fields, "text_config"));
  if (text_part != nullptr) {
    ASSIGN_OR_RETURN(const std::string own, FirstArchitecture(*text_part), << "in text_config");
    if (!own.empty()) config.architecture_ = own;
    const json part = *text_part;  // a copy: the merge may replace the member it stands in
    fields.update(part);
  }
  ASSIGN_OR_RETURN(config.rope_, GatherRope(config));
  config.quantization_ = QuantizationIn(fields);
  return config;
}

const json* HfConfig::Find(std::span<const std::string_view> names) const {
  for (const std::string_view name : names) {
    const auto found = fields_.find(name);
    if (found != fields_.end()) return &*found;
  }
  return nullptr;
}

absl::StatusOr<std::optional<uint32_t>> HfConfig::Uint32(
    std::span<const std::string_view> names) const {
  const json* value = Find(names);
  if (value == nullptr || value->is_null()) return std::nullopt;
  return JsonUint32(*value, FieldName(names, fields_));
}

absl::StatusOr<std::optional<float>> HfConfig::Float(
    std::span<const std::string_view> names) const {
  const json* value = Find(names);
  if (value == nullptr || value->is_null()) return std::nullopt;
  return JsonFloat(*value, FieldName(names, fields_));
}

}  // namespace quantized
