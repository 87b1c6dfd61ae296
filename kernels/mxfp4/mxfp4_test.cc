#include "kernels/mxfp4/mxfp4.h"

#include <gtest/gtest.h>

#include <cmath>

namespace quantized::kernels {
namespace {

// The reference calls log2f; this machine's rounds as the reference's does.
TEST(FloorLog2Rounded, IsThatOfTheMachinesLog2AroundEveryPowerOfTwo) {
  for (int exponent = -149; exponent <= 128; ++exponent) {
    const uint32_t power = exponent == 128 ? 0x7F800000 : BitsOf(std::ldexp(1.0f, exponent));
    for (int distance = -400; distance <= 20; ++distance) {
      const int64_t bits = int64_t{power} + distance;
      if (bits < 1 || bits >= 0x7F800000) continue;
      const float value = FloatOf(static_cast<uint32_t>(bits));
      ASSERT_EQ(FloorLog2Rounded(value), static_cast<int>(std::floor(std::log2(value))))
          << distance << " steps from 2^" << exponent;
    }
  }
}

TEST(FloorLog2Rounded, IsThatOfTheMachinesLog2BetweenPowersOfTwo) {
  for (uint32_t bits = 1; bits < 0x7F800000; bits += 9973) {
    const float value = FloatOf(bits);
    ASSERT_EQ(FloorLog2Rounded(value), static_cast<int>(std::floor(std::log2(value)))) << value;
  }
}

}  // namespace
}  // namespace quantized::kernels
