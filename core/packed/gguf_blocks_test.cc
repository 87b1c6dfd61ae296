#include "core/packed/gguf_blocks.h"

#include <cmath>
#include <random>
#include <utility>
#include <vector>

#include "core/packed/recode.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kernels/codecs/codec.h"
#include "kernels/types/half.h"

namespace quantized {
namespace {

using kernels::TypeId;
using ::testing::HasSubstr;

constexpr size_t kOut = 32, kIn = 128;

// Random codes, scales of both signs; zero points from `least_zero` to `greatest_zero`.
QuantizedLinear RandomLinear(int bits, size_t group_size, int least_zero, int greatest_zero) {
  std::mt19937 random(bits * 1000 + group_size);
  QuantizedLinear linear = {.out = kOut, .in = kIn, .group_size = group_size, .bits = bits};
  for (size_t i = 0; i < kOut * kIn; ++i) {
    linear.codes.push_back(static_cast<uint8_t>(random() % (1u << bits)));
  }
  linear.scales = Matrix(kOut, linear.groups());
  for (float& scale : linear.scales.values) {
    const float value = std::uniform_real_distribution<float>(-0.1f, 0.1f)(random);
    scale = kernels::F16ToF32(kernels::F32ToF16(value));
  }
  for (size_t i = 0; i < kOut * linear.groups(); ++i) {
    linear.zeros.push_back(static_cast<uint8_t>(
        least_zero + static_cast<int>(random() % (greatest_zero - least_zero + 1))));
  }
  return linear;
}

std::vector<float> Weights(const QuantizedLinear& linear) {
  std::vector<float> weights(linear.out * linear.in);
  linear.Dequantize(0, linear.out, weights.data());
  return weights;
}

std::vector<std::byte> Blocks(const QuantizedLinear& linear, TypeId type) {
  const uint64_t row_bytes = kernels::RowBytes(kernels::QuantTypeOf(type), linear.in);
  std::vector<std::byte> blocks(linear.out * row_bytes);
  // In two pieces, as a reader of rows takes them.
  WriteBlocks(linear, type, 0, 5, blocks.data());
  WriteBlocks(linear, type, 5, linear.out - 5, blocks.data() + 5 * row_bytes);
  return blocks;
}

std::vector<float> Decoded(const std::vector<std::byte>& blocks, TypeId type) {
  std::vector<float> weights(kOut * kIn);
  kernels::FindCodec(type)->decode(blocks.data(), weights.size(), weights.data());
  return weights;
}

struct ExactCase {
  int bits;
  int least_zero, greatest_zero;
  TypeId type;
};

class ExactBlocks : public ::testing::TestWithParam<ExactCase> {};

TEST_P(ExactBlocks, StandForTheSameWeights) {
  const auto& [bits, least, greatest, type] = GetParam();
  for (const size_t group_size : {32u, 64u, 128u}) {
    const QuantizedLinear linear = RandomLinear(bits, group_size, least, greatest);
    ASSERT_EQ(FitOf(linear, type).fit, BlockFit::kExact) << FitOf(linear, type).why;
    EXPECT_EQ(Decoded(Blocks(linear, type), type), Weights(linear)) << group_size;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Types, ExactBlocks,
    ::testing::Values(ExactCase{4, 8, 8, TypeId::kQ4_0}, ExactCase{3, 4, 4, TypeId::kQ4_0},
                      ExactCase{2, 2, 2, TypeId::kQ4_0}, ExactCase{3, 1, 7, TypeId::kQ4_0},
                      ExactCase{4, 8, 8, TypeId::kQ5_0}, ExactCase{4, 0, 15, TypeId::kQ5_0},
                      ExactCase{2, 0, 3, TypeId::kQ5_0}, ExactCase{8, 128, 128, TypeId::kQ8_0},
                      ExactCase{4, 0, 15, TypeId::kQ8_0}));

TEST(GgufBlocks, AMinimumOfMoreBitsThanFloat16IsRounded) {
  QuantizedLinear linear = RandomLinear(4, 32, 0, 15);
  ASSERT_EQ(FitOf(linear, TypeId::kQ4_1).fit, BlockFit::kRounded);
  const std::vector<float> found = Decoded(Blocks(linear, TypeId::kQ4_1), TypeId::kQ4_1);
  const std::vector<float> expected = Weights(linear);
  for (size_t i = 0; i < found.size(); ++i) {
    const size_t group = i / 32;
    const float minimum = linear.scales.values[group] * static_cast<float>(linear.zeros[group]);
    ASSERT_NEAR(found[i], expected[i], std::abs(minimum) / 2048 + 1e-7f) << i;
  }
  // Powers of two as zero points have none.
  for (uint8_t& zero : linear.zeros) zero = 4;
  ASSERT_EQ(FitOf(linear, TypeId::kQ4_1).fit, BlockFit::kExact);
  EXPECT_EQ(Decoded(Blocks(linear, TypeId::kQ4_1), TypeId::kQ4_1), Weights(linear));
}

TEST(GgufBlocks, SaysWhatDoesNotFit) {
  const auto why = [](const QuantizedLinear& linear, TypeId type) {
    const BlockFitting fitting = FitOf(linear, type);
    EXPECT_EQ(fitting.fit, BlockFit::kNone);
    return fitting.why;
  };
  QuantizedLinear linear = RandomLinear(4, 32, 8, 8);
  linear.zeros[3] = 7;
  EXPECT_THAT(why(linear, TypeId::kQ4_0), HasSubstr("zero points go from 7 to 8"));
  linear = RandomLinear(8, 32, 0, 255);
  EXPECT_THAT(why(linear, TypeId::kQ8_0), HasSubstr("zero points"));
  EXPECT_THAT(why(linear, TypeId::kQ4_1), HasSubstr("8 bits"));
  linear = RandomLinear(4, 32, 8, 8);
  linear.group_of.assign(kIn, 0);
  EXPECT_THAT(why(linear, TypeId::kQ8_0), HasSubstr("act-order"));
  linear = RandomLinear(4, 16, 8, 8);
  EXPECT_THAT(why(linear, TypeId::kQ4_0), HasSubstr("groups have 16 weights"));
  linear = RandomLinear(4, 32, 8, 8);
  linear.scales.values[0] = 1e-9f;
  EXPECT_THAT(why(linear, TypeId::kQ4_0), HasSubstr("a scale is no float16"));
  linear = RandomLinear(4, 32, 15, 15);
  linear.scales.values[0] = 65504.0f;
  EXPECT_THAT(why(linear, TypeId::kQ4_1), HasSubstr("beyond float16"));
}

// Blocks of the encoder, whose scales have the sign of the largest value.
TEST(GgufBlocks, BecomeALinearOfTheSameWeights) {
  const QuantizedLinear from = RandomLinear(4, 32, 0, 15);
  for (const TypeId type : {TypeId::kQ4_0, TypeId::kQ5_0, TypeId::kQ8_0}) {
    const uint64_t row_bytes = kernels::RowBytes(kernels::QuantTypeOf(type), kIn);
    std::vector<std::byte> blocks(kOut * row_bytes);
    kernels::BestEncoder (*kernels::FindCodec(type))(Weights(from).data(), nullptr, kOut, kIn,
                                                     blocks.data());
    for (const int bits : {4, 8}) {
      ASSERT_EQ(CodesHold(type, bits), bits == 8 || type == TypeId::kQ4_0);
      if (!CodesHold(type, bits)) continue;
      const auto linear = ReadBlocks("m", type, blocks, kOut, kIn, bits);
      ASSERT_TRUE(linear.ok()) << linear.status();
      EXPECT_EQ(Weights(*linear), Decoded(blocks, type));
      EXPECT_TRUE(CheckPackable("m", *linear).ok());
      EXPECT_EQ(Blocks(*linear, type), blocks) << "there and back";
    }
  }
  EXPECT_FALSE(CodesHold(TypeId::kQ4_K, 8));
}

double SquaredError(const QuantizedLinear& linear, const std::vector<float>& wanted) {
  const std::vector<float> found = Weights(linear);
  double sum = 0;
  for (size_t i = 0; i < found.size(); ++i) sum += std::pow(double{found[i]} - wanted[i], 2);
  return sum;
}

// A linear that became blocks with minima, which are rounded, is the same again.
TEST(GgufBlocks, MinimaBecomeTheZeroPointsThatTheyWere) {
  QuantizedLinear from = RandomLinear(4, 32, 0, 15);
  from.scales.values[2] = 0;
  from.zeros[2] = 0;
  const auto linear = FitMinimumBlocks("m", TypeId::kQ4_1, Blocks(from, TypeId::kQ4_1), kOut, kIn);
  ASSERT_TRUE(linear.ok()) << linear.status();
  EXPECT_EQ(linear->codes, from.codes);
  EXPECT_EQ(linear->zeros, from.zeros);
  for (size_t i = 0; i < from.scales.values.size(); ++i) {
    const float scale = from.scales.values[i];
    EXPECT_NEAR(linear->scales.values[i], scale, std::abs(scale) / 256) << i;
  }
  EXPECT_TRUE(CheckPackable("m", *linear).ok());
}

// No float16 beside the scale is closer to the values of the block.
TEST(GgufBlocks, TheScaleOfMinimaIsThatOfLeastSquares) {
  std::mt19937 random(5);
  std::normal_distribution<float> normal(0.02f, 0.1f);
  std::vector<float> weights(kOut * kIn);
  for (float& weight : weights) weight = normal(random);
  std::vector<std::byte> blocks(kOut * kernels::RowBytes(kernels::QuantTypeOf(TypeId::kQ4_1), kIn));
  kernels::BestEncoder (*kernels::FindCodec(TypeId::kQ4_1))(weights.data(), nullptr, kOut, kIn,
                                                            blocks.data());
  const auto linear = FitMinimumBlocks("m", TypeId::kQ4_1, blocks, kOut, kIn);
  ASSERT_TRUE(linear.ok()) << linear.status();
  const std::vector<float> values = Decoded(blocks, TypeId::kQ4_1);
  const double error = SquaredError(*linear, values);
  for (const int step : {-1, 1}) {
    QuantizedLinear moved = *linear;
    for (float& scale : moved.scales.values) {
      scale = kernels::F16ToF32(static_cast<uint16_t>(kernels::F32ToF16(scale) + step));
    }
    EXPECT_LT(error, SquaredError(moved, values));
  }
  // Of two ways, each group takes the closer one.
  QuantizedLinear other = *linear;
  for (size_t i = 0; i < other.scales.values.size(); i += 2) other.scales.values[i] *= 2;
  Matrix wanted(kOut, kIn);
  wanted.values = values;
  for (const auto& [a, b] : {std::pair(*linear, other), std::pair(other, *linear)}) {
    const QuantizedLinear closer = CloserGroups(wanted, a, b);
    EXPECT_EQ(closer.scales.values, linear->scales.values);
    EXPECT_EQ(closer.zeros, linear->zeros);
    EXPECT_EQ(closer.codes, linear->codes);
  }
}

TEST(GgufBlocks, RefuseAMinimumThatIsNotFinite) {
  std::vector<std::byte> blocks(32 * 20, std::byte{0});
  blocks[3] = std::byte{0x7C};  // infinity
  const auto linear = FitMinimumBlocks("model.m", TypeId::kQ4_1, blocks, 32, 32);
  ASSERT_FALSE(linear.ok());
  EXPECT_THAT(linear.status().message(), HasSubstr("model.m: block 0: found minimum inf"));
}

TEST(GgufBlocks, RefuseAScaleThatIsNotFinite) {
  std::vector<std::byte> blocks(32 * 18, std::byte{0});
  blocks[1] = std::byte{0x7C};  // infinity
  const auto linear = ReadBlocks("model.m", TypeId::kQ4_0, blocks, 32, 32, 4);
  ASSERT_FALSE(linear.ok());
  EXPECT_THAT(linear.status().message(), HasSubstr("model.m: block 0: found scale inf"));
}

TEST(Recode, CentersCodesThatFit) {
  EXPECT_TRUE(CanBeCentered(RandomLinear(4, 32, 0, 15), 8));
  EXPECT_FALSE(CanBeCentered(RandomLinear(4, 32, 0, 15), 4));
  EXPECT_TRUE(CanBeCentered(RandomLinear(3, 32, 0, 7), 4));
  for (const QuantizedLinear& linear : {RandomLinear(4, 32, 0, 15), RandomLinear(3, 64, 0, 7)}) {
    const QuantizedLinear centered = Centered(linear, 8);
    EXPECT_EQ(centered.bits, 8);
    EXPECT_EQ(Weights(centered), Weights(linear));
  }
  QuantizedLinear ordered = RandomLinear(4, 32, 0, 15);
  for (size_t i = 0; i < kIn; ++i) ordered.group_of.push_back(static_cast<uint32_t>(i % 4));
  EXPECT_EQ(Weights(Centered(ordered, 8)), Weights(ordered));
}

TEST(Recode, JoinsGroupsOfOneScale) {
  const QuantizedLinear linear = RandomLinear(4, 64, 0, 15);
  QuantizedLinear split = linear;  // in groups of 32
  split.group_size = 32;
  split.scales = Matrix(kOut, split.groups());
  split.zeros.clear();
  for (size_t i = 0; i < kOut * split.groups(); ++i) {
    split.scales.values[i] = linear.scales.values[i / 2];
    split.zeros.push_back(linear.zeros[i / 2]);
  }
  EXPECT_TRUE(HasGroupsOf(split, 32));
  ASSERT_TRUE(HasGroupsOf(split, 64));
  EXPECT_FALSE(HasGroupsOf(split, 128));
  EXPECT_FALSE(HasGroupsOf(split, 96)) << "does not divide a row";
  EXPECT_FALSE(HasGroupsOf(linear, 32)) << "smaller ones";
  const QuantizedLinear joined = Regrouped(split, 64);
  EXPECT_EQ(joined.scales.values, linear.scales.values);
  EXPECT_EQ(joined.zeros, linear.zeros);
  EXPECT_EQ(Weights(joined), Weights(linear));
}

}  // namespace
}  // namespace quantized
