#include "kernels/iq_grids/iq_grids.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace quantized::kernels {
namespace {

struct GridCase {
  const char* name;
  const IqGrid& (*grid)();
  int size, kept, digits, bits, levels;
};

class GridTest : public ::testing::TestWithParam<GridCase> {
 protected:
  const IqGrid& grid() const { return GetParam().grid(); }
  int Digit(int packed, int i) const {
    return packed >> (GetParam().bits * i) & ((1 << GetParam().bits) - 1);
  }
  int Distance(int a, int b) const {
    int sum = 0;
    for (int i = 0; i < GetParam().digits; ++i) {
      const int difference = Digit(a, i) - Digit(b, i);
      sum += difference * difference;
    }
    return sum;
  }
  bool InCube(int packed) const {
    for (int i = 0; i < GetParam().digits; ++i) {
      if (Digit(packed, i) >= GetParam().levels) return false;
    }
    return packed >> (GetParam().digits * GetParam().bits) == 0;
  }
};

TEST_P(GridTest, NumbersItsPointsInTheOrderOfTheirDigits) {
  ASSERT_EQ(grid().size, GetParam().size);
  for (int j = 0; j < grid().size; ++j) {
    const auto packed = static_cast<int>(grid().DigitsOf(j));
    EXPECT_TRUE(InCube(packed)) << packed;
    EXPECT_EQ(grid().PointOf(packed), j);
    if (j > 0) {
      EXPECT_LT(grid().DigitsOf(j - 1), grid().DigitsOf(j));
    }
  }
}

// Against the definition: all grid points sorted by (distance, number), cut after the k-th distinct
// distance.
TEST_P(GridTest, ListsTheNearestPointsInOrder) {
  for (int packed = 0; packed < 1 << 16; packed += packed < 4096 ? 1 : 37) {
    if (!InCube(packed) || grid().PointOf(packed) >= 0) continue;
    std::vector<std::pair<int, int>> all;
    for (int j = 0; j < grid().size; ++j) {
      all.emplace_back(Distance(packed, static_cast<int>(grid().DigitsOf(j))), j);
    }
    std::ranges::sort(all);
    std::vector<uint16_t> want;
    std::set<int> distances;
    for (const auto& [distance, j] : all) {
      distances.insert(distance);
      if (static_cast<int>(distances.size()) > GetParam().kept) break;
      want.push_back(static_cast<uint16_t>(j));
    }
    const IqNeighbours got = grid().NeighboursOf(packed);
    EXPECT_EQ(std::vector<uint16_t>(got.points, got.points + got.count), want) << packed;
  }
}

INSTANTIATE_TEST_SUITE_P(All, GridTest,
                         ::testing::Values(GridCase{"IQ1", IQ1Grid, 2048, 3, 8, 2, 3},
                                           GridCase{"IQ2XXS", IQ2XXSGrid, 256, 2, 8, 2, 3},
                                           GridCase{"IQ2XS", IQ2XSGrid, 512, 2, 8, 2, 3},
                                           GridCase{"IQ2S", IQ2SGrid, 1024, 1, 8, 2, 3},
                                           GridCase{"IQ3XXS", IQ3XXSGrid, 256, 2, 4, 3, 8},
                                           GridCase{"IQ3S", IQ3SGrid, 512, 3, 4, 3, 8}),
                         [](const auto& instance) { return std::string(instance.param.name); });

}  // namespace
}  // namespace quantized::kernels
