#include "core/rebuild/rope_scaling.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/arch/geometry.h"
#include "core/arch/rope_freqs.h"
#include "core/arch/shared_keys.h"
#include "core/arch/tensor_names.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/hf/config.h"
#include "core/hf/json_number.h"
#include "core/rebuild/metadata_values.h"

namespace quantized {
namespace {

using nlohmann::json;

constexpr uint64_t kMaxFactors = 32768;  // half of what a head may have

// Nothing where there is no such tensor.
absl::StatusOr<std::optional<std::vector<float>>> Factors(const ModelSource& source,
                                                          std::string_view name) {
  const auto tensors = source.tensors();
  const auto found = std::ranges::find(tensors, name, &SourceTensor::name);
  if (found == tensors.end()) return std::nullopt;
  if (found->type != kernels::TypeId::kF32 || found->rows() != 1 || found->cols() > kMaxFactors) {
    return KeyError(StrCat("tensor ", name),
                    StrCat(found->rows(), " x ", found->cols(), " of type ",
                           kernels::QuantTypeOf(found->type).name),
                    StrCat("1 x at most ", kMaxFactors, " of type F32"));
  }
  std::vector<float> factors(found->cols());
  RETURN_IF_ERROR(source.ReadRows(static_cast<size_t>(found - tensors.begin()), 0, 1,
                                  std::as_writable_bytes(std::span(factors))));
  for (const float factor : factors) {
    if (!std::isfinite(factor)) return KeyError(StrCat("tensor ", name), StrCat(factor), "numbers");
  }
  return factors;
}

json ListOf(std::span<const float> factors) {
  json list = json::array();
  for (const float factor : factors) list.push_back(ShortestJson(factor));
  return list;
}

// Factors are equal when they differ by no more than two ways to round the same formula do.
bool AreSame(std::span<const float> a, std::span<const float> b) {
  return std::ranges::equal(
      a, b, [](float x, float y) { return std::fabs(x - y) <= 1e-6f * std::fabs(y); });
}

// The factors depend on the original length through low / length and high / length alone, so one of
// the three can be chosen: all published models have low 1 and high 4. The largest factor is the
// parameter of that name, unless no wavelength is so long; then it is one of a published model.
absl::StatusOr<json> Llama3(const json& fields, std::span<const float> factors) {
  for (const float factor : {std::ranges::max(factors), 8.0f, 32.0f}) {
    for (uint32_t length = 16; length <= 1u << 20; length *= 2) {
      json scaling = {{"rope_type", "llama3"},
                      {"factor", ShortestJson(factor)},
                      {"low_freq_factor", 1.0},
                      {"high_freq_factor", 4.0},
                      {"original_max_position_embeddings", length}};
      json all = fields;
      all["rope_scaling"] = scaling;
      ASSIGN_OR_RETURN(const HfConfig config, HfConfig::Parse(all.dump()));
      ASSIGN_OR_RETURN(const Geometry geometry, GeometryOf(config));
      ASSIGN_OR_RETURN(const std::vector<float> given, RopeFreqs(config, geometry));
      if (AreSame(given, factors)) return scaling;
    }
  }
  return KeyError(StrCat("tensor ", kRopeFreqsTensor), StrCat(factors.size(), " factors"),
                  "what rope type llama3 gives with low_freq_factor 1 and high_freq_factor 4");
}

absl::StatusOr<json> LongRope(const ModelSource& source) {
  ASSIGN_OR_RETURN(const auto long_factors, Factors(source, kLongFactorsTensor));
  ASSIGN_OR_RETURN(const auto short_factors, Factors(source, kShortFactorsTensor));
  if (!long_factors && !short_factors) return json();
  if (!long_factors || !short_factors) {
    return KeyError(
        StrCat("tensor ", long_factors ? kShortFactorsTensor : kLongFactorsTensor), "nothing",
        StrCat("one, as there is ", long_factors ? kLongFactorsTensor : kShortFactorsTensor));
  }
  // Its class wants this member to be called type, and no others.
  return json{{"type", "longrope"},
              {"long_factor", ListOf(*long_factors)},
              {"short_factor", ListOf(*short_factors)}};
}

}  // namespace

absl::StatusOr<json> RopeScaling(const Architecture& architecture, const json& fields,
                                 const ModelSource& source) {
  const gguf::Metadata& metadata = source.metadata();
  const auto key = [&](std::string_view name) { return StrCat(architecture.gguf_name, ".", name); };
  if (architecture.writes_long_rope) return LongRope(source);
  if (architecture.writes_rope_freqs) {
    ASSIGN_OR_RETURN(const auto factors, Factors(source, kRopeFreqsTensor));
    if (factors && std::ranges::any_of(*factors, [](float factor) { return factor != 1; })) {
      return Llama3(fields, *factors);
    }
  }
  ASSIGN_OR_RETURN(const std::string* type, FindText(metadata, key("rope.scaling.type")));
  if (type == nullptr || (*type != "linear" && *type != "yarn")) return json();
  ASSIGN_OR_RETURN(const auto factor, FindFinite(metadata, key("rope.scaling.factor")));
  if (!factor) return KeyError(key("rope.scaling.factor"), "nothing", "a number");
  json scaling = {{"rope_type", *type}, {"factor", ShortestJson(*factor)}};
  if (*type == "linear") return scaling;
  ASSIGN_OR_RETURN(const auto length,
                   FindUint32(metadata, key("rope.scaling.original_context_length")));
  if (length) scaling["original_max_position_embeddings"] = *length;
  for (const YarnKey& row : kYarnKeys) {
    ASSIGN_OR_RETURN(const auto value, FindFinite(metadata, key(row.key)));
    if (value) scaling[std::string(row.name)] = ShortestJson(*value);
  }
  return scaling;
}

}  // namespace quantized
