#include "core/arch/metadata_keys.h"

#include <optional>
#include <string>
#include <vector>

#include "core/arch/long_rope.h"
#include "core/arch/shared_keys.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/hf/json_file.h"
#include "core/hf/json_number.h"

namespace quantized {
namespace {

using nlohmann::json;
using Kind = MetadataKey::Kind;
using From = MetadataKey::From;
using When = MetadataKey::When;

absl::Status Wrong(std::string_view what) {
  return MakeError(Error::kValidationFailed, StrCat("config.json: ", what));
}

// A member of `object` that is there and is not null.
const json* Present(const json& object, std::string_view name) {
  const auto found = object.find(name);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

class Writer {
 public:
  Writer(const Architecture& architecture, const HfConfig& config, uint32_t file_type,
         gguf::Metadata& metadata)
      : architecture_(architecture), config_(config), file_type_(file_type), metadata_(metadata) {
    const json* full = Present(config.rope(), "full_attention");
    rope_ = full != nullptr ? full : &config.rope();
  }

  absl::Status Shared(std::span<const SharedKey> keys) {
    for (const SharedKey& row : keys) {
      size_t count = 0;
      while (count < row.fields.size() && !row.fields[count].empty()) ++count;
      RETURN_IF_ERROR(Field(row.key, row.kind, std::span(row.fields).first(count)).status());
    }
    return absl::OkStatus();
  }

  void FileType() { metadata_.Set("general.file_type", file_type_); }

  absl::Status BlockCount(std::string_view key = "block_count") {
    ASSIGN_OR_RETURN(const bool written, Field(key, Kind::kUint32, kLayerCountNames));
    if (!written) return Wrong("num_hidden_layers: expected a whole number, found nothing");
    return absl::OkStatus();
  }

  void Causal() {
    const auto causal = config_.fields().find("is_causal");
    if (causal != config_.fields().end() && *causal == false) Put("attention.causal", false);
  }

  absl::Status Rope() {
    const json* type = Present(*rope_, "rope_type");
    if (type != nullptr && !type->is_string()) {
      return Wrong(StrCat("rope_scaling: rope_type: expected a name, found ", JsonText(*type)));
    }
    const std::string name = type == nullptr ? "" : type->get<std::string>();
    const json* factor = Present(*rope_, "factor");
    if (name == "linear" && factor != nullptr) {
      RETURN_IF_ERROR(Scaling("linear", *factor));
    } else if (name == "yarn" && factor != nullptr) {
      RETURN_IF_ERROR(Scaling("yarn", *factor));
      RETURN_IF_ERROR(Yarn());
    } else if (name == "su" || name == "longrope") {
      Put("rope.scaling.type", std::string("longrope"));
    }
    RETURN_IF_ERROR(Sections());
    RETURN_IF_ERROR(RopeFloat(*rope_, "rope_theta", "rope.freq_base").status());
    if (const json* sliding = Present(config_.rope(), "sliding_attention")) {
      RETURN_IF_ERROR(RopeFloat(*sliding, "rope_theta", "rope.freq_base_swa").status());
    }
    return absl::OkStatus();
  }

  absl::Status Own(const MetadataKey& row) {
    if (row.from == From::kLayerCount) return BlockCount(row.key);
    if (row.from == From::kRotaryDim) return Rotary(row.key);
    if (row.from == From::kRope) return RopeNumber(row);
    if (row.from == From::kFileType) {
      FileType();
      return absl::OkStatus();
    }
    const std::string_view name = row.from == From::kRopeTheta ? "rope_theta"
                                  : row.from == From::kHeadDim ? "head_dim"
                                                               : row.field;
    if (row.when == When::kUnlessEveryLayerIsGlobal) {
      const json* pattern = Present(config_.fields(), "sliding_window_pattern");
      if (pattern != nullptr && *pattern == 1) return absl::OkStatus();
    }
    if (row.when == When::kTruthy) {
      const json* value = Present(config_.fields(), name);
      const bool is_false = value != nullptr && value->is_boolean() && !value->get<bool>();
      if (is_false || (value != nullptr && *value == 0)) return absl::OkStatus();
    }
    ASSIGN_OR_RETURN(const bool written, row.from == From::kRopeTheta
                                             ? RopeFloat(*rope_, name, row.key)
                                             : Field(row.key, row.kind, std::span(&name, 1)));
    if (written || row.when == When::kPresent || row.when == When::kTruthy) {
      return absl::OkStatus();
    }
    if (row.from == From::kHeadDim) return HeadDim(row.key);
    // As the class would have it: only what is not there at all has a default.
    const bool is_null = config_.fields().contains(name);
    const bool has_fallback =
        row.when == When::kNullable || (row.when == When::kDefault && !is_null);
    if (!has_fallback) {
      return Wrong(StrCat(name, ": expected a number, found ", is_null ? "null" : "nothing"));
    }
    if (row.kind == Kind::kFloat) {
      Put(row.key, static_cast<float>(row.fallback));
    } else {
      Put(row.key, static_cast<uint32_t>(row.fallback));
    }
    return absl::OkStatus();
  }

 private:
  void Put(std::string_view key, gguf::Value value) {
    metadata_.Set(StrCat(architecture_.gguf_name, ".", key), std::move(value));
  }

  // Whether one of `names` is there and was written.
  absl::StatusOr<bool> Field(std::string_view key, Kind kind,
                             std::span<const std::string_view> names) {
    if (kind == Kind::kFloat) {
      ASSIGN_OR_RETURN(const std::optional<float> value, config_.Float(names));
      if (value) Put(key, *value);
      return value.has_value();
    }
    ASSIGN_OR_RETURN(const std::optional<uint32_t> value, config_.Uint32(names));
    if (value) Put(key, *value);
    return value.has_value();
  }

  absl::Status Rotary(std::string_view key) {
    ASSIGN_OR_RETURN(const uint32_t dim, RotaryDim(config_));
    Put(key, dim);
    return absl::OkStatus();
  }

  // A whole number that the rope block must have.
  absl::Status RopeNumber(const MetadataKey& row) {
    const json* value = Present(config_.rope(), row.field);
    if (value == nullptr) return Wrong(StrCat(row.field, ": expected a number, found nothing"));
    ASSIGN_OR_RETURN(const uint32_t number, JsonUint32(*value, StrCat("config.json: ", row.field)));
    Put(row.key, number);
    return absl::OkStatus();
  }

  absl::StatusOr<bool> RopeFloat(const json& block, std::string_view name, std::string_view key) {
    const json* value = Present(block, name);
    if (value == nullptr) return false;
    ASSIGN_OR_RETURN(const float number,
                     JsonFloat(*value, StrCat("config.json: rope_scaling: ", name)));
    Put(key, number);
    return true;
  }

  absl::Status Scaling(std::string_view type, const json& factor) {
    ASSIGN_OR_RETURN(const float value, JsonFloat(factor, "config.json: rope_scaling: factor"));
    Put("rope.scaling.type", std::string(type));
    Put("rope.scaling.factor", value);
    return absl::OkStatus();
  }

  absl::Status Yarn() {
    constexpr std::string_view kLength = "original_max_position_embeddings";
    const json* length = Present(*rope_, kLength);
    if (length == nullptr) {
      return Wrong(StrCat("rope_scaling: ", kLength,
                          ": expected a whole number for rope type yarn, found nothing"));
    }
    ASSIGN_OR_RETURN(const uint32_t value,
                     JsonUint32(*length, StrCat("config.json: rope_scaling: ", kLength)));
    Put("rope.scaling.original_context_length", value);
    for (const YarnKey& row : kYarnKeys) {
      const bool has_first = rope_->contains(row.name) || row.other_name.empty();
      RETURN_IF_ERROR(RopeFloat(*rope_, has_first ? row.name : row.other_name, row.key).status());
    }
    return absl::OkStatus();
  }

  // Rotary sections of multimodal models: time, height, width, extra.
  absl::Status Sections() {
    const json* sections = Present(config_.rope(), "mrope_section");
    if (sections == nullptr) return absl::OkStatus();
    if (!sections->is_array()) {
      return Wrong(
          StrCat("rope_scaling: mrope_section: expected a list, found ", JsonText(*sections)));
    }
    std::vector<int32_t> values(4, 0);
    for (size_t i = 0; i < std::min(values.size(), sections->size()); ++i) {
      ASSIGN_OR_RETURN(values[i],
                       JsonInt32((*sections)[i], "config.json: rope_scaling: mrope_section"));
    }
    Put("rope.dimension_sections", gguf::Array(std::move(values)));
    return absl::OkStatus();
  }

  absl::Status HeadDim(std::string_view key) {
    ASSIGN_OR_RETURN(const std::optional<uint32_t> hidden, config_.Uint32(kHiddenSizeNames));
    ASSIGN_OR_RETURN(const std::optional<uint32_t> heads, config_.Uint32(kHeadCountNames));
    if (!hidden || heads.value_or(0) == 0) {
      return Wrong("head_dim: expected a number, or hidden_size and num_attention_heads above 0");
    }
    Put(key, *hidden / *heads);
    return absl::OkStatus();
  }

  const Architecture& architecture_;
  const HfConfig& config_;
  const uint32_t file_type_;
  gguf::Metadata& metadata_;
  const json* rope_;  // the part for full attention; points into config_
};

}  // namespace

absl::Status AppendLongRopeMetadata(const Architecture& architecture, const HfConfig& config,
                                    gguf::Metadata& metadata) {
  if (!architecture.writes_long_rope) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::optional<LongRope> rope, LongRopeOf(config));
  if (rope) {
    metadata.Set(StrCat(architecture.gguf_name, ".rope.scaling.attn_factor"),
                 rope->attention_factor);
  }
  return absl::OkStatus();
}

absl::Status AppendArchitectureMetadata(const Architecture& architecture, const HfConfig& config,
                                        uint32_t file_type, gguf::Metadata& metadata) {
  Writer writer(architecture, config, file_type, metadata);
  if (architecture.has_shared_keys) {
    RETURN_IF_ERROR(writer.BlockCount());
    RETURN_IF_ERROR(writer.Shared(kKeysBeforeRope));
    writer.Causal();
    RETURN_IF_ERROR(writer.Rope());
    RETURN_IF_ERROR(writer.Shared(kKeysAfterRope));
    writer.FileType();
  }
  for (const MetadataKey& row : architecture.keys) RETURN_IF_ERROR(writer.Own(row));
  return absl::OkStatus();
}

}  // namespace quantized
