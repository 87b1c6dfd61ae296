#include "kernels/iq_grids/lane_lists.h"

#include "hwy/base.h"

namespace quantized::kernels {
namespace {

template <class Cube>
bool InCube(uint32_t digits) {
  for (int i = 0; i < Cube::kDigits; ++i) {
    if (DigitOf<Cube>(digits, i) >= Cube::kLevels) return false;
  }
  return true;
}

}  // namespace

template <class Cube>
LaneLists LaneLists::Of(const IqGrid& grid, Cube) {
  LaneLists lists;
  const uint32_t size = 1U << (Cube::kBits * Cube::kDigits);
  lists.entries_.resize(size);
  for (uint32_t digits = 0; digits < size; ++digits) {
    if (!InCube<Cube>(digits)) continue;
    const size_t first = lists.codes_.size() / kListVector;
    size_t vectors = 0;
    if (grid.PointOf(digits) >= 0) {
      lists.codes_.push_back(CodeOf<Cube>(digits));
    } else {
      const IqNeighbours near = grid.NeighboursOf(digits);
      for (int n = 0; n < near.count; ++n) {
        lists.codes_.push_back(CodeOf<Cube>(grid.DigitsOf(near.points[n])));
      }
      vectors = (static_cast<size_t>(near.count) + kListVector - 1) / kListVector;
    }
    while (lists.codes_.size() % kListVector != 0)
      lists.codes_.push_back(lists.codes_.back() | kFillsUp);
    HWY_ASSERT(vectors <= kMaxVectors);
    lists.entries_[digits] = static_cast<uint32_t>(first << kCountBits | vectors);
  }
  return lists;
}

template LaneLists LaneLists::Of(const IqGrid& grid, TernaryCube);
template LaneLists LaneLists::Of(const IqGrid& grid, OctalCube);

}  // namespace quantized::kernels
