#include "kernels/iq_grids/lane_lists.h"

#include <gtest/gtest.h>

#include <vector>

namespace quantized::kernels {
namespace {

// Every list as the grid has it, in whole vectors.
template <class Cube>
void ExpectTheListsOf(const IqGrid& grid) {
  const LaneLists lists = LaneLists::Of(grid, Cube());
  for (int j = 0; j < grid.size; ++j) {
    const uint32_t digits = grid.DigitsOf(j);
    EXPECT_EQ(DigitsOfCode<Cube>(CodeOf<Cube>(digits)), digits);
    EXPECT_EQ(lists.of(digits).vectors, 0u);
    EXPECT_EQ(lists.of(digits).codes[0], CodeOf<Cube>(digits));
  }
  for (uint32_t digits = 0; digits < 1U << (Cube::kBits * Cube::kDigits); ++digits) {
    if (DigitsOfCode<Cube>(CodeOf<Cube>(digits)) != digits || grid.PointOf(digits) >= 0) continue;
    bool in_cube = true;
    for (int i = 0; i < Cube::kDigits; ++i) {
      in_cube = in_cube && DigitOf<Cube>(digits, i) < Cube::kLevels;
    }
    if (!in_cube) continue;
    const IqNeighbours near = grid.NeighboursOf(digits);
    std::vector<uint32_t> want;
    for (int n = 0; n < near.count; ++n) {
      want.push_back(CodeOf<Cube>(grid.DigitsOf(near.points[n])));
    }
    const uint32_t last = want.back();
    while (want.size() % kListVector != 0) want.push_back(last | kFillsUp);
    const LaneLists::List list = lists.of(digits);
    EXPECT_EQ(std::vector<uint32_t>(list.codes, list.codes + kListVector * list.vectors), want);
  }
}

TEST(LaneLists, HoldTheListsOfTheirGrid) {
  ExpectTheListsOf<TernaryCube>(IQ2XSGrid());
  ExpectTheListsOf<TernaryCube>(IQ2SGrid());
  ExpectTheListsOf<OctalCube>(IQ3SGrid());
}

}  // namespace
}  // namespace quantized::kernels
