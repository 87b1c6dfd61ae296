#include "kernels/iq_grids/octal_lists.h"

#include <vector>

namespace quantized::kernels {
namespace {

constexpr uint32_t kCube = 1U << (OctalCube::kBits * OctalCube::kDigits);

class OctalListsOf {
 public:
  explicit OctalListsOf(const IqGrid& grid) : lists_(kCube) {
    for (uint32_t packed = 0; packed < kCube; ++packed) {
      if (grid.PointOf(packed) < 0) lists_[packed] = Append(grid, grid.NeighboursOf(packed));
    }
    // A vector's memory is aligned for 16 bytes, a chunk.
    view_ = {lists_.data(), points_.data()};
  }
  const OctalLists& view() const { return view_; }

 private:
  OctalLists::List Append(const IqGrid& grid, IqNeighbours neighbours) {
    const size_t begin = points_.size();
    for (int n = 0; n < neighbours.count; ++n) {
      points_.push_back(static_cast<uint16_t>(grid.DigitsOf(neighbours.points[n])));
    }
    while (points_.size() % OctalLists::kChunk != 0) points_.push_back(points_[begin]);
    return {static_cast<uint16_t>(begin / OctalLists::kChunk),
            static_cast<uint16_t>((points_.size() - begin) / OctalLists::kChunk)};
  }

  std::vector<OctalLists::List> lists_;
  std::vector<uint16_t> points_;
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
