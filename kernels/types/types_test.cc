#include <gtest/gtest.h>

#include <climits>
#include <cmath>
#include <limits>
#include <set>
#include <string>

#include "kernels/types/half.h"
#include "kernels/types/quant_type.h"
#include "kernels/types/rounding.h"

namespace quantized::kernels {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// ---- half.h, against arithmetic in double

double ValueOfF16(uint16_t half) {
  const int exponent = half >> 10 & 31, mantissa = half & 1023;
  const double magnitude = exponent == 31  ? (mantissa == 0 ? HUGE_VAL : NAN)
                           : exponent == 0 ? std::ldexp(mantissa, -24)
                                           : std::ldexp(1024 + mantissa, exponent - 25);
  return half >> 15 != 0 ? -magnitude : magnitude;
}

TEST(Half, EveryF16WidensExactlyAndComesBack) {
  for (uint32_t bits = 0; bits <= 0xFFFF; ++bits) {
    const auto half = static_cast<uint16_t>(bits);
    const double want = ValueOfF16(half);
    const float got = F16ToF32(half);
    if (std::isnan(want)) {
      EXPECT_TRUE(std::isnan(got)) << half;
      EXPECT_EQ(F32ToF16(got), (half & 0x8000) | 0x7E00);
    } else {
      EXPECT_EQ(got, want) << half;
      EXPECT_EQ(std::signbit(got), half >> 15 != 0);
      EXPECT_EQ(F32ToF16(got), half);
    }
    EXPECT_EQ(IsFiniteF16(half), std::isfinite(want));
  }
}

TEST(Half, EveryBF16WidensExactlyAndComesBack) {
  for (uint32_t bits = 0; bits <= 0xFFFF; ++bits) {
    const auto half = static_cast<uint16_t>(bits);
    const float got = BF16ToF32(half);
    EXPECT_EQ(BitsOf(got), bits << 16);
    EXPECT_EQ(F32ToBF16(got), std::isnan(got) ? half | 0x40 : half);
    EXPECT_EQ(IsFiniteBF16(half), std::isfinite(got));
  }
}

// For each pair of neighbours: the middle goes to the even one, what is left and right of it to the
// nearer one.
TEST(Half, F16RoundsToTheNearestTiesToEven) {
  for (uint32_t bits = 0; bits < 0x7C00; ++bits) {
    const auto below = static_cast<uint16_t>(bits), above = static_cast<uint16_t>(bits + 1);
    const double low = ValueOfF16(below);
    const double high = above == 0x7C00 ? 65536.0 : ValueOfF16(above);
    const auto middle = static_cast<float>((low + high) / 2);  // exact
    const uint16_t even = bits % 2 == 0 ? below : above;
    EXPECT_EQ(F32ToF16(middle), even) << bits;
    EXPECT_EQ(F32ToF16(std::nextafter(middle, 0.0f)), below) << bits;
    EXPECT_EQ(F32ToF16(std::nextafter(middle, kInf)), above) << bits;
    EXPECT_EQ(F32ToF16(-middle), even | 0x8000) << bits;
  }
}

TEST(Half, F16Edges) {
  EXPECT_EQ(F32ToF16(65519.996f), 0x7BFF);
  EXPECT_EQ(F32ToF16(65520.0f), 0x7C00);
  EXPECT_EQ(F32ToF16(-1e30f), 0xFC00);
  EXPECT_EQ(F32ToF16(kInf), 0x7C00);
  EXPECT_EQ(F32ToF16(kNan), 0x7E00);
  EXPECT_EQ(F32ToF16(FloatOf(0xFF800001)), 0xFE00);
  EXPECT_EQ(F32ToF16(0x1p-25f), 0);  // half of the smallest: to even
  EXPECT_EQ(F32ToF16(0x1.000002p-25f), 1);
  EXPECT_EQ(F32ToF16(-1e-40f), 0x8000);
  EXPECT_EQ(BitsOf(F16ToF32(0x7C01)), 0x7FC02000u);  // made quiet, payload kept
}

TEST(Half, BF16RoundsToTheNearestTiesToEven) {
  for (uint32_t upper = 0; upper < 0x7F80; ++upper) {
    for (const uint32_t lower : {0u, 1u, 0x7FFFu, 0x8000u, 0x8001u, 0xFFFFu}) {
      const uint32_t want = upper + (lower > 0x8000 || (lower == 0x8000 && upper % 2 == 1) ? 1 : 0);
      EXPECT_EQ(F32ToBF16(FloatOf(upper << 16 | lower)), want);
      EXPECT_EQ(F32ToBF16(FloatOf(0x80000000 | upper << 16 | lower)), 0x8000 | want);
    }
  }
  EXPECT_EQ(F32ToBF16(FloatOf(0x7F800001)), 0x7FC0);  // stays a NaN
  EXPECT_EQ(F32ToBF16(FloatOf(0xFFFFFFFF)), 0xFFFF);
}

// ---- rounding.h

TEST(Rounding, NearestIntRoundsHalvesToEvenAndWraps) {
  EXPECT_EQ(NearestInt(0.5f), 0);
  EXPECT_EQ(NearestInt(1.5f), 2);
  EXPECT_EQ(NearestInt(-0.5f), 0);
  EXPECT_EQ(NearestInt(-2.5f), -2);
  EXPECT_EQ(NearestInt(2.5000002f), 3);
  EXPECT_EQ(NearestInt(4194303.0f), 4194303);
  EXPECT_EQ(NearestInt(-4194304.0f), -4194304);
  EXPECT_EQ(NearestInt(4194304.0f), -4194304);  // 2^22 wraps around
  for (const float v : {1e10f, -1e10f, kInf, -kInf, kNan}) {
    EXPECT_GE(NearestInt(v), -4194304);
    EXPECT_LE(NearestInt(v), 4194303);
  }
  for (float v = -300; v < 300; v += 0.0625f) EXPECT_EQ(NearestInt(v), std::nearbyint(v));
}

TEST(Rounding, TruncateToIntIsDefinedEverywhere) {
  EXPECT_EQ(TruncateToInt(2.9f), 2);
  EXPECT_EQ(TruncateToInt(-2.9f), -2);
  EXPECT_EQ(TruncateToInt(2147483520.0f), 2147483520);
  EXPECT_EQ(TruncateToInt(-2147483648.0f), INT_MIN);
  for (const float v : {2147483648.0f, -2147483904.0f, kInf, -kInf, kNan}) {
    EXPECT_EQ(TruncateToInt(v), INT_MIN);
  }
}

TEST(Rounding, RoundHalfAwayRoundsHalvesAwayFromZero) {
  EXPECT_EQ(RoundHalfAway(0.5f), 1);
  EXPECT_EQ(RoundHalfAway(-0.5f), -1);
  EXPECT_EQ(RoundHalfAway(2.5f), 3);
  EXPECT_EQ(RoundHalfAway(0.49999997f), 0);
  EXPECT_EQ(RoundHalfAway(-126.5f), -127);
  EXPECT_EQ(RoundHalfAway(kInf), INT_MIN);
}

// ---- quant_type.h

TEST(QuantTypes, AreFoundByIdAndByName) {
  std::set<std::string_view> names;
  for (const QuantType& type : AllQuantTypes()) {
    EXPECT_EQ(FindQuantType(static_cast<uint32_t>(type.id)), &type);
    EXPECT_EQ(FindQuantType(type.name), &type);
    EXPECT_EQ(&QuantTypeOf(type.id), &type);
    EXPECT_TRUE(names.insert(type.name).second) << type.name;
  }
  EXPECT_EQ(FindQuantType("q4_k"), FindQuantType(12));
  EXPECT_EQ(FindQuantType("bf16"), FindQuantType(30));
  EXPECT_EQ(FindQuantType("Q4"), nullptr);
  EXPECT_EQ(FindQuantType(""), nullptr);
}

TEST(QuantTypes, RetiredAndUnknownIdsAreNoTypes) {
  for (const uint32_t id : {4, 5, 31, 32, 33, 36, 37, 38, 43, 1000}) {
    EXPECT_EQ(FindQuantType(id), nullptr) << id;
  }
  EXPECT_EQ(FindQuantType(0xFFFFFFFFu), nullptr);
}

TEST(QuantTypes, RowBytesCountsWholeBlocks) {
  EXPECT_EQ(RowBytes(QuantTypeOf(TypeId::kQ4_K), 576 * 4), 9 * 144u);
  EXPECT_EQ(RowBytes(QuantTypeOf(TypeId::kF16), 33), 66u);
  EXPECT_EQ(RowBytes(QuantTypeOf(TypeId::kQ8_0), 0), 0u);
  EXPECT_DEATH(RowBytes(QuantTypeOf(TypeId::kQ8_0), 33), "cols");
}

}  // namespace
}  // namespace quantized::kernels
