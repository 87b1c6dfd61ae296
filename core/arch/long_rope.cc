#include "core/arch/long_rope.h"

#include <cmath>
#include <string>
#include <string_view>

#include "absl/strings/ascii.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/hf/json_file.h"
#include "core/hf/json_number.h"

namespace quantized {
namespace {

using nlohmann::json;

constexpr std::string_view kOriginalLength = "original_max_position_embeddings";
constexpr std::string_view kPartialFactor = "partial_rotary_factor";

absl::Status Wrong(std::string_view field, std::string_view expected, std::string_view found) {
  return MakeError(Error::kValidationFailed,
                   StrCat("config.json: ", field, ": expected ", expected, ", found ", found));
}

const json* Present(const json& object, std::string_view name) {
  const auto found = object.find(name);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

absl::StatusOr<uint32_t> Above0(const HfConfig& config, std::span<const std::string_view> names,
                                std::string_view name) {
  ASSIGN_OR_RETURN(const std::optional<uint32_t> value, config.Uint32(names));
  if (value.value_or(0) == 0) return Wrong(name, "a number above 0", value ? "0" : "nothing");
  return *value;
}

absl::StatusOr<std::vector<float>> Factors(const json& rope, std::string_view name, size_t count) {
  const std::string field = StrCat("rope_scaling: ", name);
  const std::string expected = StrCat("a list of ", count, " numbers above 0");
  const json* list = Present(rope, name);
  if (list == nullptr) return Wrong(field, expected, "nothing");
  if (!list->is_array()) return Wrong(field, expected, JsonText(*list));
  if (list->size() != count) return Wrong(field, expected, StrCat(list->size()));
  std::vector<float> factors;
  for (const json& item : *list) {
    ASSIGN_OR_RETURN(const float factor, JsonFloat(item, StrCat("config.json: ", field)));
    if (!(factor > 0)) return Wrong(field, expected, JsonText(item));
    factors.push_back(factor);
  }
  return factors;
}

// By how much longer texts make scores of attention larger.
absl::StatusOr<float> AttentionFactor(const HfConfig& config, const json& rope) {
  const json* type = Present(rope, "rope_type");
  const std::string name = type != nullptr && type->is_string()
                               ? absl::AsciiStrToLower(type->get_ref<const std::string&>())
                               : "";
  const bool is_yarn = name == "yarn";
  if (!is_yarn && name != "longrope" && name != "su") {
    return Wrong("rope_scaling: type", "longrope, su or yarn with long_factor",
                 type == nullptr ? "nothing" : JsonText(*type));
  }
  constexpr std::string_view kLengthNames[] = {"max_position_embeddings"};
  ASSIGN_OR_RETURN(const uint32_t length, Above0(config, kLengthNames, kLengthNames[0]));
  const json* original = Present(rope, kOriginalLength);
  if (original == nullptr) return Wrong(kOriginalLength, "a whole number", "nothing");
  ASSIGN_OR_RETURN(const uint32_t original_length,
                   JsonUint32(*original, StrCat("config.json: ", kOriginalLength)));
  // The logarithm of 1 is 0, by which a longer text's is divided.
  if (original_length < 2) {
    return Wrong(kOriginalLength, "a whole number above 1", StrCat(original_length));
  }
  const double scale = static_cast<double>(length) / original_length;
  if (scale <= 1) return 1.0f;
  return static_cast<float>(is_yarn ? 0.1 * std::log(scale) + 1
                                    : std::sqrt(1 + std::log(scale) / std::log(original_length)));
}

}  // namespace

absl::StatusOr<uint32_t> RotaryDim(const HfConfig& config) {
  ASSIGN_OR_RETURN(const uint32_t hidden, Above0(config, kHiddenSizeNames, "hidden_size"));
  ASSIGN_OR_RETURN(const uint32_t heads, Above0(config, kHeadCountNames, "num_attention_heads"));
  const json* partial = Present(config.rope(), kPartialFactor);
  if (partial == nullptr) return hidden / heads;
  RETURN_IF_ERROR(JsonFloat(*partial, StrCat("config.json: ", kPartialFactor)).status());
  const auto factor = partial->get<double>();
  if (!(factor > 0 && factor <= 1)) {
    return Wrong(kPartialFactor, "a number above 0 and up to 1", JsonText(*partial));
  }
  return static_cast<uint32_t>(factor * hidden) / heads;
}

absl::StatusOr<std::optional<LongRope>> LongRopeOf(const HfConfig& config) {
  const json& rope = config.rope();
  const json* factors = Present(rope, "long_factor");
  if (factors == nullptr || (factors->is_array() && factors->empty())) return std::nullopt;
  LongRope result;
  ASSIGN_OR_RETURN(const uint32_t dim, RotaryDim(config));
  if (dim % 2 != 0) {
    return Wrong("rope_scaling: long_factor", "an even number of rotated dimensions", StrCat(dim));
  }
  ASSIGN_OR_RETURN(result.attention_factor, AttentionFactor(config, rope));
  ASSIGN_OR_RETURN(result.long_factors, Factors(rope, "long_factor", dim / 2));
  ASSIGN_OR_RETURN(result.short_factors, Factors(rope, "short_factor", dim / 2));
  return result;
}

}  // namespace quantized
