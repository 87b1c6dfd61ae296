#include "kernels/iq_grids/octal_lists.h"

#include <vector>

namespace quantized::kernels {
namespace {

constexpr uint32_t kCube = 1U << (OctalCube::kBits * OctalCube::kDigits);

class OctalListsOf {
 public:
  explicit OctalListsOf(const IqGrid& grid) : chunks_(kCube), first_(kCube) {
    for (uint32_t packed = 0; packed < kCube; ++packed) {
      first_[packed] = static_cast<uint16_t>(points_.size() / OctalLists::kChunk);
      if (grid.PointOf(packed) < 0) Append(grid, grid.NeighboursOf(packed));
      const size_t end = points_.size() / OctalLists::kChunk;
      chunks_[packed] = static_cast<uint8_t>(end - first_[packed]);
    }
    view_ = {chunks_.data(), first_.data(), points_.data()};
  }
  const OctalLists& view() const { return view_; }

 private:
  void Append(const IqGrid& grid, IqNeighbours neighbours) {
    for (int n = 0; n < neighbours.count; ++n) {
      points_.push_back(static_cast<int16_t>(grid.DigitsOf(neighbours.points[n])));
    }
    while (points_.size() % OctalLists::kChunk != 0) points_.push_back(-1);
  }

  std::vector<uint8_t> chunks_;
  std::vector<uint16_t> first_;
  std::vector<int16_t> points_;
  OctalLists view_;
};

}  // namespace

const OctalLists& IQ3XXSLists() {
  static const OctalListsOf lists(IQ3XXSGrid());
  return lists.view();
}

const OctalLists& IQ3SLists() {
  static const OctalListsOf lists(IQ3SGrid());
  return lists.view();
}

}  // namespace quantized::kernels
