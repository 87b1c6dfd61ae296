#include "core/rebuild/config_fields.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/arch/shared_keys.h"
#include "core/base/check.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/hf/config_classes.h"
#include "core/hf/json_number.h"
#include "core/rebuild/metadata_values.h"

namespace quantized {
namespace {

using nlohmann::json;
using Kind = MetadataKey::Kind;
using From = MetadataKey::From;
using When = MetadataKey::When;

constexpr std::string_view kLayerCount = "num_hidden_layers";
constexpr std::string_view kRopeTheta = "rope_theta";
constexpr double kRuntimeRopeTheta = 10000;

// Fields that may be missing: their constants in the architecture's class are what runtimes take,
// too, where a file has no key, and the embedding has vocab_size. Any other constant is another
// model's number.
constexpr std::string_view kMayBeMissing[] = {
    "attn_logit_softcapping", "final_logit_softcapping", "partial_rotary_factor",
    "rope_local_base_freq",   "sliding_window",          "vocab_size",
};

class Reader {
 public:
  Reader(const Architecture& architecture, const gguf::Metadata& metadata)
      : architecture_(architecture),
        class_(FindConfigClass(architecture.model_type)),
        metadata_(metadata) {
    CHECK(class_ != nullptr);
  }

  absl::Status Shared(std::span<const SharedKey> rows) {
    for (const SharedKey& row : rows) RETURN_IF_ERROR(Read(row.key, row.kind, NameIn(row)));
    return absl::OkStatus();
  }

  absl::Status Own(const MetadataKey& row) {
    switch (row.from) {
      case From::kFileType:
      case From::kRotaryDim:  // of all sizes, below
        return absl::OkStatus();
      case From::kLayerCount:
        return Read(row.key, row.kind, kLayerCount);
      case From::kRopeTheta:
        return Read(row.key, row.kind, kRopeTheta);
      case From::kHeadDim:
        return HeadDim(row.key);
      case From::kField:
      case From::kRope:
        break;
    }
    RETURN_IF_ERROR(Read(row.key, row.kind, row.field));
    if (row.when == When::kNullable && fields_.value(row.field, json()) == row.fallback) {
      fields_[std::string(row.field)] = nullptr;
    }
    // Its absence says that no layer has a window.
    if (row.when == When::kUnlessEveryLayerIsGlobal && !fields_.contains(row.field)) {
      fields_["sliding_window_pattern"] = 1;
    }
    return absl::OkStatus();
  }

  absl::Status Rope() {
    RETURN_IF_ERROR(Read("rope.freq_base", Kind::kFloat, kRopeTheta));
    return Read("rope.freq_base_swa", Kind::kFloat, "rope_local_base_freq");
  }

  // What runtimes do without; then no number may be left to the class that is not theirs.
  absl::Status Complete() {
    if (const auto heads = fields_.find("num_attention_heads"); heads != fields_.end()) {
      const json count = *heads;
      fields_.emplace("num_key_value_heads", count);
      if (count != 0 && HasConstant("head_dim") && fields_.contains("hidden_size")) {
        fields_.emplace("head_dim", fields_["hidden_size"].get<uint32_t>() / count.get<uint32_t>());
      }
    }
    fields_.emplace(kRopeTheta, kRuntimeRopeTheta);
    for (const auto& [field, key] : keys_) {
      if (HasConstant(field) && !fields_.contains(field) &&
          std::ranges::count(kMayBeMissing, field) == 0) {
        return KeyError(key, "nothing", "a number");
      }
    }
    return absl::OkStatus();
  }

  // Which part of a head is rotated; the sizes are known.
  absl::Status RotaryDim(std::string_view key) {
    RETURN_IF_ERROR(Read(key, Kind::kUint32, "partial_rotary_factor"));
    const auto found = fields_.find("partial_rotary_factor");
    if (found == fields_.end()) return absl::OkStatus();
    const auto heads = fields_["num_attention_heads"].get<uint32_t>();
    const auto head_dim = heads == 0 ? 0 : fields_["hidden_size"].get<uint32_t>() / heads;
    const auto rotated = found->get<uint32_t>();
    if (rotated == 0 || rotated > head_dim) {
      return KeyError(StrCat(architecture_.gguf_name, ".", key), StrCat(rotated),
                      StrCat("1 to the ", head_dim, " dimensions of a head"));
    }
    *found = static_cast<double>(rotated) / head_dim;
    return absl::OkStatus();
  }

  json Take() { return std::move(fields_); }

 private:
  // The name of a shared key's field that the architecture's class has; the first where it has
  // none.
  std::string_view NameIn(const SharedKey& row) const {
    for (const std::string_view name : row.fields) {
      if (std::ranges::count(class_->defaults, name, &ConfigDefault::name) > 0) return name;
    }
    return row.fields[0];
  }

  bool HasConstant(std::string_view field) const {
    return std::ranges::any_of(class_->defaults, [&](const ConfigDefault& rule) {
      return rule.name == field && rule.from == ConfigDefault::From::kValue;
    });
  }

  // Two keys may come from one field; the first counts.
  absl::Status Read(std::string_view key, Kind kind, std::string_view field) {
    const std::string full = StrCat(architecture_.gguf_name, ".", key);
    keys_.emplace_back(field, full);
    if (kind == Kind::kFloat) {
      ASSIGN_OR_RETURN(const std::optional<float> value, FindFinite(metadata_, full));
      if (value) fields_.emplace(field, ShortestJson(*value));
      return absl::OkStatus();
    }
    ASSIGN_OR_RETURN(const std::optional<uint32_t> value, FindUint32(metadata_, full));
    if (value) fields_.emplace(field, *value);
    return absl::OkStatus();
  }

  // The class knows this length without being told where it is hidden size / heads.
  absl::Status HeadDim(std::string_view key) {
    if (fields_.contains("head_dim")) return absl::OkStatus();
    RETURN_IF_ERROR(Read(key, Kind::kUint32, "head_dim"));
    const uint32_t heads = fields_.value("num_attention_heads", 0u);
    const uint32_t hidden = fields_.value("hidden_size", 0u);
    if (heads != 0 && fields_.value("head_dim", 0u) == hidden / heads) fields_.erase("head_dim");
    return absl::OkStatus();
  }

  const Architecture& architecture_;
  const ConfigClass* class_;
  const gguf::Metadata& metadata_;
  json fields_ = json::object();
  std::vector<std::pair<std::string_view, std::string>> keys_;  // fields and the keys looked for
};

}  // namespace

absl::StatusOr<json> ConfigFields(const Architecture& architecture,
                                  const gguf::Metadata& metadata) {
  Reader reader(architecture, metadata);
  if (architecture.has_shared_keys) {
    RETURN_IF_ERROR(
        reader.Own({.key = "block_count", .kind = Kind::kUint32, .from = From::kLayerCount}));
    RETURN_IF_ERROR(reader.Shared(kKeysBeforeRope));
    RETURN_IF_ERROR(reader.Rope());
    RETURN_IF_ERROR(reader.Shared(kKeysAfterRope));
  }
  for (const MetadataKey& row : architecture.keys) RETURN_IF_ERROR(reader.Own(row));
  RETURN_IF_ERROR(reader.Complete());
  for (const MetadataKey& row : architecture.keys) {
    if (row.from != From::kRotaryDim) continue;
    RETURN_IF_ERROR(reader.RotaryDim(row.key));
  }
  return reader.Take();
}

}  // namespace quantized
