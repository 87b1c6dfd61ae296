#include "core/pipeline/error_bounds.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace quantized {
namespace {

using kernels::TypeId;

// |decoded - value| <= of_largest * (largest |value| of the block) + absolute.
//
// of_largest: half a step of the type's grid over [-largest, largest] where each value is rounded
// to nearest (Q8_0 1/254, Q4_1 1/15, Q5_1 1/31), a whole one where the grid has one level more on
// one side (Q4_0 1/8, Q5_0 1/16); for the K types also the range that their search may cut off and
// the rounding of 4- and 6-bit scales; each with room to spare for the f16 rounding of the scale.
// The grids of the IQ types are coarse, and IQ3_S may even decode a value in another one's place:
// their rows only tell garbage. NVFP4's scales span little: what lies beyond is cut off or 0.
// absolute: what is lost where the scale is an f16 too small to be normal: half of the smallest f16
// (2^-25) times the largest factor that multiplies it.
struct Bound {
  TypeId type;
  double of_largest;
  double absolute;
};
constexpr double kHalfSmallestF16 = 1.0 / (1 << 25);
constexpr auto kBounds = std::to_array<Bound>({
    {TypeId::kF32, 0, 0},
    {TypeId::kF16, 1.0 / (1 << 11), kHalfSmallestF16},
    {TypeId::kBF16, 1.0 / (1 << 8), 1e-38},
    {TypeId::kQ8_0, 0.0046, 128 * kHalfSmallestF16},
    {TypeId::kQ4_0, 0.13, 8 * kHalfSmallestF16},
    {TypeId::kQ4_1, 0.075, 16 * kHalfSmallestF16},
    {TypeId::kQ5_0, 0.066, 16 * kHalfSmallestF16},
    {TypeId::kQ5_1, 0.038, 32 * kHalfSmallestF16},
    {TypeId::kQ2_K, 1.2, 64 * kHalfSmallestF16},
    {TypeId::kQ3_K, 0.6, 128 * kHalfSmallestF16},
    {TypeId::kQ4_K, 0.4, 1024 * kHalfSmallestF16},
    {TypeId::kQ5_K, 0.2, 2048 * kHalfSmallestF16},
    {TypeId::kQ6_K, 0.1, 4096 * kHalfSmallestF16},
    {TypeId::kIQ1_S, 16, 1024 * kHalfSmallestF16},
    {TypeId::kIQ1_M, 16, 1024 * kHalfSmallestF16},
    {TypeId::kIQ2_XXS, 4, 1024 * kHalfSmallestF16},
    {TypeId::kIQ2_XS, 4, 1024 * kHalfSmallestF16},
    {TypeId::kIQ2_S, 4, 1024 * kHalfSmallestF16},
    {TypeId::kIQ3_XXS, 4, 1024 * kHalfSmallestF16},
    {TypeId::kIQ3_S, 4, 1024 * kHalfSmallestF16},
    {TypeId::kIQ4_NL, 0.5, 128 * kHalfSmallestF16},
    {TypeId::kIQ4_XS, 0.6, 4096 * kHalfSmallestF16},
    {TypeId::kTQ1_0, 0.51, kHalfSmallestF16},
    {TypeId::kTQ2_0, 0.51, kHalfSmallestF16},
    {TypeId::kMXFP4, 0.34, 1e-37},
    {TypeId::kNVFP4, 1, 0.01},
    {TypeId::kQ1_0, 1.01, kHalfSmallestF16},
    {TypeId::kQ2_0, 0.51, 2 * kHalfSmallestF16},
});

}  // namespace

std::optional<ExcessError> FindExcessError(TypeId type, std::span<const float> values,
                                           std::span<const float> decoded) {
  const auto bound = std::find_if(kBounds.begin(), kBounds.end(),
                                  [type](const Bound& row) { return row.type == type; });
  if (bound == kBounds.end()) return std::nullopt;
  const size_t block = kernels::QuantTypeOf(type).block_values;
  for (size_t start = 0; start < values.size(); start += block) {
    double largest = 0;
    for (const float value : values.subspan(start, block)) {
      largest = std::max<double>(largest, std::fabs(value));
    }
    const double allowed = bound->of_largest * largest + bound->absolute;
    for (size_t i = start; i < start + block; ++i) {
      // Not `>`: a NaN must not pass.
      if (!(std::fabs(static_cast<double>(decoded[i]) - values[i]) <= allowed)) {
        return ExcessError{i, decoded[i], values[i], static_cast<float>(allowed)};
      }
    }
  }
  return std::nullopt;
}

}  // namespace quantized
