#include "core/pipeline/error_bounds.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "kernels/codecs/codec.h"

namespace quantized {
namespace {

using kernels::TypeId;

constexpr size_t kBlock = 256;

// Blocks that are hard in different ways.
std::vector<std::vector<float>> Blocks() {
  std::mt19937 random(7);
  std::normal_distribution<float> normal;
  std::uniform_real_distribution<float> uniform(0, 1);
  std::vector<std::vector<float>> blocks;
  const auto add = [&](auto value) {
    blocks.emplace_back();
    for (size_t i = 0; i < kBlock; ++i) blocks.back().push_back(static_cast<float>(value(i)));
  };
  for (int round = 0; round < 200; ++round) {
    add([&](size_t) { return normal(random); });
    add([&](size_t) { return 1e-3 * normal(random) + 1; });  // far from zero
    add([&](size_t) { return -1e-3 * normal(random) - 1; });
    add([&](size_t i) { return i == 77 ? 1000 : normal(random); });             // one outlier
    add([&](size_t i) { return std::ldexp(normal(random), -(int(i) / 16)); });  // falling scales
    add([&](size_t) { return std::pow(uniform(random), 20.0) * (random() % 2 ? 1 : -1); });
    add([&](size_t) { return std::ldexp(normal(random), -20 - round % 20); });  // tiny
    add([&](size_t) { return random() % 2 ? 1 : -1; });
    add([&](size_t i) { return i % 32 == 0 ? -1 : 0.06; });
  }
  add([](size_t) { return 0; });
  return blocks;
}

// The bound must hold for correct encoders whatever the values; a false alarm would refuse a good
// file.
TEST(ErrorBoundsTest, EncodersKeepTheirBound) {
  for (const kernels::Codec& codec : kernels::AllCodecs()) {
    const kernels::QuantType& type = kernels::QuantTypeOf(codec.id);
    SCOPED_TRACE(std::string(type.name));
    std::vector<std::byte> encoded(kernels::RowBytes(type, kBlock));
    std::vector<float> decoded(kBlock);
    const std::vector<float> ones(kBlock, 1.0f);
    const bool must_weigh = codec.importance == kernels::Importance::kRequired;
    for (const std::vector<float>& block : Blocks()) {
      codec.encode_ref(block.data(), must_weigh ? ones.data() : nullptr, 1, kBlock, encoded.data());
      codec.decode(encoded.data(), kBlock, decoded.data());
      const auto excess = FindExcessError(codec.id, block, decoded);
      ASSERT_FALSE(excess) << "column " << excess->col << ": " << excess->found << " for "
                           << excess->wanted << ", allowed " << excess->allowed;
    }
  }
}

TEST(ErrorBoundsTest, WrongValuesAreFound) {
  for (const kernels::Codec& codec : kernels::AllCodecs()) {
    SCOPED_TRACE(std::string(kernels::QuantTypeOf(codec.id).name));
    std::vector<float> values(2 * kBlock, 0.5f), decoded = values;
    EXPECT_FALSE(FindExcessError(codec.id, values, decoded));
    for (const float wrong : {-20.0f, std::numeric_limits<float>::quiet_NaN()}) {
      decoded[kBlock + 3] = wrong;
      const auto excess = FindExcessError(codec.id, values, decoded);
      ASSERT_TRUE(excess);
      EXPECT_EQ(excess->col, kBlock + 3);
    }
  }
}

TEST(ErrorBoundsTest, ErrorsCountAgainstTheirOwnBlock) {
  std::vector<float> values(64, 1e-3f), decoded = values;
  values[40] = decoded[40] = 100;  // in the second block
  decoded[50] = 0.3f;              // fits a block with 100
  EXPECT_FALSE(FindExcessError(TypeId::kQ8_0, values, decoded));
  decoded[5] = 0.3f;  // does not fit one of 0.001
  ASSERT_TRUE(FindExcessError(TypeId::kQ8_0, values, decoded));
}

}  // namespace
}  // namespace quantized
