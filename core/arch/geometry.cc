#include "core/arch/geometry.h"

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"

namespace quantized {
namespace {

constexpr std::string_view kFeedForwardNames[] = {"prefix_dense_intermediate_size",
                                                  "dense_intermediate_size", "intermediate_size",
                                                  "n_inner", "hidden_dim"};
constexpr std::string_view kKvHeadNames[] = {"num_key_value_heads", "n_kv_heads"};
constexpr std::string_view kHeadDimNames[] = {"head_dim"};
constexpr std::string_view kExpertCountNames[] = {"num_local_experts", "num_experts"};
constexpr std::string_view kExpertFeedForwardNames[] = {"moe_intermediate_size"};

// More than any model has; keeps loops over layers and rotary frequencies short whatever a file
// says.
constexpr uint32_t kMaxLayers = 4096;
constexpr uint32_t kMaxHeadDim = 65536;
constexpr uint32_t kMaxExperts = 65536;

absl::Status Wrong(std::string_view what) {
  return MakeError(Error::kValidationFailed, StrCat("config.json: ", what));
}

// The first of `names`; `fallback` where there is none. 0 is not a size.
absl::StatusOr<uint32_t> Size(const HfConfig& config, std::span<const std::string_view> names,
                              std::string_view name, uint32_t fallback) {
  ASSIGN_OR_RETURN(const std::optional<uint32_t> size, config.Uint32(names));
  const uint32_t value = size.value_or(fallback);
  if (value == 0) {
    return Wrong(StrCat(name, ": expected a whole number above 0, found ", size ? "0" : "nothing"));
  }
  return value;
}

}  // namespace

uint64_t Geometry::Size(Dim dim) const {
  switch (dim) {
    case Dim::kNone:
      return 0;
    case Dim::kVocabulary:
      return vocabulary;
    case Dim::kHidden:
      return hidden;
    case Dim::kFeedForward:
      return feed_forward;
    case Dim::kQuery:
      return uint64_t{heads} * head_dim;
    case Dim::kKeyValue:
      return uint64_t{kv_heads} * head_dim;
    case Dim::kHead:
      return head_dim;
    case Dim::kQueryKeyValue:
      return (uint64_t{heads} + 2 * uint64_t{kv_heads}) * head_dim;
    case Dim::kGateAndUp:
      return 2 * uint64_t{feed_forward};
    case Dim::kExperts:
      return experts;
    case Dim::kExpertFeedForward:
      return expert_feed_forward;
  }
  CHECK(!"a Dim without a case");
}

absl::StatusOr<Geometry> GeometryOf(const HfConfig& config) {
  Geometry g;
  ASSIGN_OR_RETURN(g.layers, Size(config, kLayerCountNames, "num_hidden_layers", 0));
  if (g.layers > kMaxLayers) {
    return Wrong(StrCat("num_hidden_layers: expected at most ", kMaxLayers, ", found ", g.layers));
  }
  ASSIGN_OR_RETURN(g.hidden, Size(config, kHiddenSizeNames, "hidden_size", 0));
  ASSIGN_OR_RETURN(g.feed_forward, Size(config, kFeedForwardNames, "intermediate_size", 0));
  ASSIGN_OR_RETURN(g.heads, Size(config, kHeadCountNames, "num_attention_heads", 0));
  ASSIGN_OR_RETURN(g.kv_heads, Size(config, kKvHeadNames, "num_key_value_heads", g.heads));
  ASSIGN_OR_RETURN(g.head_dim, Size(config, kHeadDimNames, "head_dim", g.hidden / g.heads));
  if (g.head_dim > kMaxHeadDim) {
    return Wrong(StrCat("head_dim: expected at most ", kMaxHeadDim, ", found ", g.head_dim));
  }
  if (g.heads % g.kv_heads != 0) {
    return Wrong(StrCat("num_key_value_heads: expected a divisor of the ", g.heads,
                        " attention heads, found ", g.kv_heads));
  }
  ASSIGN_OR_RETURN(const std::optional<uint32_t> vocabulary, config.Uint32(kVocabSizeNames));
  g.vocabulary = vocabulary.value_or(0);
  ASSIGN_OR_RETURN(const std::optional<uint32_t> experts, config.Uint32(kExpertCountNames));
  g.experts = experts.value_or(0);
  if (g.experts > kMaxExperts) {
    return Wrong(
        StrCat("num_local_experts: expected at most ", kMaxExperts, ", found ", g.experts));
  }
  ASSIGN_OR_RETURN(const std::optional<uint32_t> expert_feed_forward,
                   config.Uint32(kExpertFeedForwardNames));
  g.expert_feed_forward = expert_feed_forward.value_or(g.feed_forward);
  return g;
}

}  // namespace quantized
