#include "kernels/testing/rows.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

#include "hwy/base.h"
#include "kernels/types/half.h"

namespace quantized::kernels::testing {
namespace {

// SplitMix64: the standard library's distributions differ between implementations.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15 + 1) {}
  uint64_t Bits() {
    uint64_t z = state_ += 0x9E3779B97F4A7C15;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9;
    z = (z ^ z >> 27) * 0x94D049BB133111EB;
    return z ^ z >> 31;
  }
  uint32_t Below(uint32_t n) { return static_cast<uint32_t>((Bits() >> 32) * n >> 32); }
  double Uniform() { return static_cast<double>(Bits() >> 11) * 0x1p-53; }  // [0, 1)
  float Normal() {
    const double radius = std::sqrt(-2 * std::log(1 - Uniform()));
    return static_cast<float>(radius * std::cos(2 * std::numbers::pi * Uniform()));
  }
  float Sign() { return (Bits() & 1) != 0 ? 1.0f : -1.0f; }

 private:
  uint64_t state_;
};

template <class Next>
void Generate(std::span<float> row, const Next& next) {
  for (size_t i = 0; i < row.size(); ++i) row[i] = next(i);
}

void Normal(std::span<float> row, uint64_t seed) {
  Random r(seed);
  Generate(row, [&](size_t) { return 0.02f * r.Normal(); });
}
void NormalF16(std::span<float> row, uint64_t seed) {
  Random r(seed);
  Generate(row, [&](size_t) { return F16ToF32(F32ToF16(0.02f * r.Normal())); });
}
void NormalBF16(std::span<float> row, uint64_t seed) {
  Random r(seed);
  Generate(row, [&](size_t) { return BF16ToF32(F32ToBF16(0.02f * r.Normal())); });
}
void HeavyTails(std::span<float> row, uint64_t seed) {
  Random r(seed);
  Generate(row, [&](size_t) {
    const double t = std::tan(std::numbers::pi * (r.Uniform() - 0.5));
    return static_cast<float>(std::clamp(t, -1e4, 1e4));
  });
}
void Outlier(std::span<float> row, uint64_t seed) {
  Normal(row, seed);
  Random r(~seed);
  for (size_t i = 0; i < row.size(); i += 256) {
    row[std::min(row.size() - 1, i + r.Below(256))] = 3e4f * r.Sign();
  }
}
// Each run of 16 has a scale of its own, over the whole range that scales survive.
void ManyScales(std::span<float> row, uint64_t seed) {
  Random r(seed);
  float scale = 0;
  Generate(row, [&](size_t i) {
    if (i % 16 == 0) scale = std::ldexp(1.0f, static_cast<int>(r.Below(140)) - 125);
    return scale * r.Normal();
  });
}
void Zeros(std::span<float> row, uint64_t) { std::ranges::fill(row, 0.0f); }
void NegativeZeros(std::span<float> row, uint64_t) { std::ranges::fill(row, -0.0f); }
void MixedZeros(std::span<float> row, uint64_t seed) {
  Random r(seed);
  Generate(row, [&](size_t) { return 0.0f * r.Sign(); });
}
// No negative value but -0.0, and no positive one in every second run of 32.
void ZerosAtTheEdge(std::span<float> row, uint64_t seed) {
  Random r(seed);
  Generate(row, [&](size_t i) {
    const float value = r.Below(3) == 0 ? 0.0f * r.Sign() : static_cast<float>(r.Uniform());
    return i / 32 % 2 == 0 ? std::fabs(value) * (value == 0 ? r.Sign() : 1.0f) : -value;
  });
}
void ZeroRuns(std::span<float> row, uint64_t seed) {
  Random r(seed);
  bool zero = false;
  Generate(row, [&](size_t i) {
    if (i % 16 == 0) zero = r.Below(2) == 0;
    return zero ? 0.0f : r.Normal();
  });
}
void Sparse(std::span<float> row, uint64_t seed) {
  Random r(seed);
  Generate(row, [&](size_t) { return r.Below(32) == 0 ? r.Normal() : 0.0f; });
}
void Denormal(std::span<float> row, uint64_t seed) {
  Random r(seed);
  Generate(row, [&](size_t) { return 0x1p-127f * r.Normal(); });
}
// Around 2^-128, where the inverse of a scale overflows.
void Tiny(std::span<float> row, uint64_t seed) {
  Random r(seed);
  float scale = 0;
  Generate(row, [&](size_t i) {
    if (i % 32 == 0) scale = std::ldexp(1.0f, -129 + static_cast<int>(r.Below(14)));
    return scale * static_cast<float>(2 * r.Uniform() - 1);
  });
}
// Around 1e-15, below which the searches take a block as empty.
void AlmostEmpty(std::span<float> row, uint64_t seed) {
  Random r(seed);
  Generate(row, [&](size_t) { return 1e-15f * r.Normal(); });
}
void Huge(std::span<float> row, uint64_t seed) {
  Random r(seed);
  Generate(row, [&](size_t) { return std::clamp(3e29f * r.Normal(), -1e30f, 1e30f); });
}
void BeyondF16(std::span<float> row, uint64_t seed) {
  Random r(seed);
  Generate(row, [&](size_t) { return 2e5f * r.Normal(); });
}
void Constant(std::span<float> row, uint64_t seed) {
  Random r(seed);
  std::ranges::fill(row, r.Normal());
}
// The same value but for its last bits: max - min is tiny, so inverse scales are huge.
void AlmostConstant(std::span<float> row, uint64_t seed) {
  Random r(seed);
  const float value = r.Normal();
  Generate(row, [&](size_t) { return FloatOf(BitsOf(value) + r.Below(4)); });
}
void EqualMagnitude(std::span<float> row, uint64_t seed) {
  Random r(seed);
  const float value = r.Normal();
  Generate(row, [&](size_t) { return value * r.Sign(); });
}
// Few distinct values, exact halves among the products with many scales.
void Ties(std::span<float> row, uint64_t seed) {
  Random r(seed);
  Generate(row, [&](size_t) { return 0.125f * (static_cast<float>(r.Below(33)) - 16); });
}
void Integers(std::span<float> row, uint64_t seed) {
  Random r(seed);
  Generate(row, [&](size_t) { return static_cast<float>(r.Below(255)) - 127; });
}
void Ternary(std::span<float> row, uint64_t seed) {
  Random r(seed);
  Generate(row, [&](size_t) { return static_cast<float>(r.Below(3)) - 1; });
}
void Positive(std::span<float> row, uint64_t seed) {
  Random r(seed);
  Generate(row, [&](size_t) { return 1 + static_cast<float>(r.Uniform()); });
}
void Negative(std::span<float> row, uint64_t seed) {
  Random r(seed);
  Generate(row, [&](size_t) { return -static_cast<float>(r.Uniform()); });
}
void NegativeOrZero(std::span<float> row, uint64_t seed) {
  Random r(seed);
  Generate(row, [&](size_t) { return r.Below(2) == 0 ? 0.0f : -1.0f - 1e-6f * r.Normal(); });
}
void Ramp(std::span<float> row, uint64_t seed) {
  const float step = 1.0f / static_cast<float>(seed % 97 + 1);
  Generate(row, [&](size_t i) { return step * (static_cast<float>(i) - 100); });
}

// Importance weights: mean squares of activations have a few large channels.
void LogNormal(std::span<float> row, uint64_t seed) {
  Random r(seed);
  Generate(row, [&](size_t) { return std::exp(1.5f * r.Normal()); });
}
void UniformWeights(std::span<float> row, uint64_t) {
  Generate(row, [](size_t) { return 1.0f; });
}
// Channels that never fired, and ones that outweigh all others.
void SilentChannels(std::span<float> row, uint64_t seed) {
  Random r(seed);
  Generate(row, [&](size_t i) {
    if (i / 48 % 3 == 0) return 0.0f;
    if (r.Below(32) == 0) return 1e6f;
    return r.Below(16) == 0 ? 1e-30f : std::exp(r.Normal());
  });
}
void NoWeightAtAll(std::span<float> row, uint64_t) {
  Generate(row, [](size_t) { return 0.0f; });
}

constexpr RowKind kRowKinds[] = {
    {"normal", Normal},
    {"normal-f16", NormalF16},
    {"normal-bf16", NormalBF16},
    {"heavy-tails", HeavyTails},
    {"outlier", Outlier},
    {"many-scales", ManyScales},
    {"zeros", Zeros},
    {"negative-zeros", NegativeZeros},
    {"mixed-zeros", MixedZeros},
    {"zeros-at-the-edge", ZerosAtTheEdge},
    {"zero-runs", ZeroRuns},
    {"sparse", Sparse},
    {"denormal", Denormal},
    {"tiny", Tiny},
    {"almost-empty", AlmostEmpty},
    {"huge", Huge},
    {"beyond-f16", BeyondF16},
    {"constant", Constant},
    {"almost-constant", AlmostConstant},
    {"equal-magnitude", EqualMagnitude},
    {"ties", Ties},
    {"integers", Integers},
    {"ternary", Ternary},
    {"positive", Positive},
    {"negative", Negative},
    {"negative-or-zero", NegativeOrZero},
    {"ramp", Ramp},
};

constexpr RowKind kImportanceKinds[] = {
    {"log-normal", LogNormal},
    {"uniform-weights", UniformWeights},
    {"silent-channels", SilentChannels},
    {"no-weight-at-all", NoWeightAtAll},
};

}  // namespace

std::span<const RowKind> AllRowKinds() { return kRowKinds; }
std::span<const RowKind> AllImportanceKinds() { return kImportanceKinds; }

const RowKind& RowKindNamed(std::string_view name) {
  const auto* kind = std::ranges::find(kRowKinds, name, &RowKind::name);
  HWY_ASSERT(kind != std::end(kRowKinds));
  return *kind;
}

}  // namespace quantized::kernels::testing
