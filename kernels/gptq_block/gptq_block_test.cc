#include "kernels/gptq_block/gptq_block.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

#include "kernels/group_range/group_range.h"
#include "kernels/testing/each_target.h"

namespace quantized::kernels {
namespace {

constexpr size_t kRows = 128;

std::vector<float> NormalFloats(size_t count, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (float& value : values) value = normal(random);
  return values;
}

std::vector<uint32_t> Bits(const std::vector<float>& values) {
  std::vector<uint32_t> bits(values.size());
  std::transform(values.begin(), values.end(), bits.begin(), BitsOf);
  return bits;
}

struct Grids {
  explicit Grids(int code_bits) : bits(code_bits) {
    for (size_t row = 0; row < kRows; ++row) {
      scale.push_back(StorableScale(0.1f + 0.01f * static_cast<float>(row)));
      zero.push_back(static_cast<float>(row % (size_t{1} << code_bits)));
    }
  }
  ColumnGrid grid() const { return {scale.data(), zero.data(), bits}; }

  int bits;
  std::vector<float> scale, zero;
};

struct State {
  std::vector<float> values, extra;
  std::vector<uint8_t> codes = std::vector<uint8_t>(kRows);
  std::vector<float> out = std::vector<float>(kRows);
};

void ExpectSame(const State& got, const State& want) {
  EXPECT_EQ(Bits(got.values), Bits(want.values));
  EXPECT_EQ(Bits(got.extra), Bits(want.extra));
  EXPECT_EQ(got.codes, want.codes);
  EXPECT_EQ(Bits(got.out), Bits(want.out));
}

void RunGptq(decltype(GptqColumnRef)* column, size_t following, const std::vector<float>& factor,
             const Grids& grids, State& state) {
  column(state.values.data(), following, kRows, factor.data(), grids.grid(), state.codes.data(),
         state.out.data());
}

TEST(GptqColumnTest, SameBitsOnEveryTarget) {
  for (const int bits : {2, 3, 4, 8}) {
    const Grids grids(bits);
    for (const size_t following : {0, 1, 37}) {
      std::vector<float> factor = NormalFloats(following + 1, 1);
      factor[0] = 0.7f;
      State before;
      before.values = NormalFloats((following + 1) * kRows, 2);
      before.values[3] = 1e30f;
      before.values[4] = -1e-42f;
      State want = before;
      RunGptq(GptqColumnRef, following, factor, grids, want);
      testing::ForEachSimdTarget([&] {
        State got = before;
        RunGptq(GptqColumnSimd, following, factor, grids, got);
        ExpectSame(got, want);
      });
    }
  }
}

TEST(GptqColumnTest, SpreadsTheErrorAlongTheFactor) {
  const Grids grids(4);
  const std::vector<float> factor = {0.5f, 2.0f, 0.0f, -1.0f};
  State state;
  state.values = NormalFloats(4 * kRows, 3);
  const std::vector<float> before = state.values;
  RunGptq(GptqColumnSimd, 3, factor, grids, state);
  for (size_t row = 0; row < kRows; ++row) {
    const float decoded =
        (static_cast<float>(state.codes[row]) - grids.zero[row]) * grids.scale[row];
    ASSERT_EQ(state.values[row], decoded);
    ASSERT_FLOAT_EQ(state.out[row], (before[row] - decoded) / 0.5f);
    for (size_t j = 1; j < 4; ++j) {
      ASSERT_FLOAT_EQ(state.values[j * kRows + row],
                      before[j * kRows + row] - state.out[row] * factor[j]);
    }
  }
}

void RunDescent(decltype(DescentColumnRef)* step, size_t columns, size_t column,
                const std::vector<float>& gram, const Grids& grids, State& state) {
  step(state.extra.data(), columns, column, kRows, gram.data(), grids.grid(), state.values.data(),
       state.codes.data(), state.out.data());
}

State DescentState(size_t columns, const Grids& grids) {
  State state;
  state.values = NormalFloats(kRows, 4);
  state.extra = NormalFloats(columns * kRows, 5);
  EncodeGroupRef(state.values.data(), 1, kRows, grids.scale.data(), grids.zero.data(), grids.bits,
                 state.codes.data(), state.values.data());
  return state;
}

TEST(DescentColumnTest, SameBitsOnEveryTarget) {
  for (const int bits : {2, 4}) {
    const Grids grids(bits);
    constexpr size_t kColumns = 19, kColumn = 11;
    std::vector<float> gram = NormalFloats(kColumns, 6);
    gram[kColumn] = 1.5f;
    State before = DescentState(kColumns, grids);
    before.extra[kColumn * kRows + 1] = -1e30f;
    State want = before;
    RunDescent(DescentColumnRef, kColumns, kColumn, gram, grids, want);
    testing::ForEachSimdTarget([&] {
      State got = before;
      RunDescent(DescentColumnSimd, kColumns, kColumn, gram, grids, got);
      ExpectSame(got, want);
    });
  }
}

// Along one coordinate the loss is gradient * change + H_ii * change² / 2 (twice that, as a trace).
TEST(DescentColumnTest, NeverRaisesTheLossAlongItsCoordinate) {
  const Grids grids(3);
  const std::vector<float> gram = {0.3f, 1.5f};
  State state = DescentState(2, grids);
  const State before = state;
  RunDescent(DescentColumnSimd, 2, 1, gram, grids, state);
  int moved = 0;
  for (size_t row = 0; row < kRows; ++row) {
    const float change = state.out[row];
    moved += change != 0 ? 1 : 0;
    ASSERT_LE(before.extra[kRows + row] * change + 0.75f * change * change, 1e-6f);
    ASSERT_FLOAT_EQ(state.extra[kRows + row], before.extra[kRows + row] + change * 1.5f);
    ASSERT_FLOAT_EQ(state.extra[row], before.extra[row] + change * 0.3f);
  }
  EXPECT_GT(moved, 10);
}

}  // namespace
}  // namespace quantized::kernels
