// Blocks of the IQ3 types: what kernels/iq_grids/grid_block.h does per block, around the search
// with one sub-block per lane.

#if defined(QUANTIZED_KERNELS_IQ_GRIDS_OCTAL_BLOCK_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef QUANTIZED_KERNELS_IQ_GRIDS_OCTAL_BLOCK_INL_H_
#undef QUANTIZED_KERNELS_IQ_GRIDS_OCTAL_BLOCK_INL_H_
#else
#define QUANTIZED_KERNELS_IQ_GRIDS_OCTAL_BLOCK_INL_H_
#endif

#include <cstring>

#include "kernels/iq_grids/grid_block.h"
#include "kernels/iq_grids/octal_search-inl.h"
#include "kernels/lanes/lanes-inl.h"
#include "kernels/search/importance-inl.h"
#include "kernels/types/rows.h"

HWY_BEFORE_NAMESPACE();
namespace quantized::kernels {
namespace HWY_NAMESPACE {

// The blocks whose sub-blocks fill the lanes.
template <class Block>
inline constexpr size_t kGridBlocks = HWY_MAX(size_t{1}, kLanes / GridBlock<Block>::kSubBlocks);

// Whether every group finds a point: no distance and no sum that makes a scale can overflow. With
// magnitudes up to M, weights up to R^2 and levels of at least 1, a scale A / B is at most 2 M (1 M
// but for underflow), A at most 480 M R^2, a distance at most 4 R (31 M)^2.
template <class Block>
HWY_INLINE bool IsModest(const float* HWY_RESTRICT values, const GridBlock<Block>& block) {
  const Lanes d;
  LaneMask modest = hn::Eq(hn::Zero(d), hn::Zero(d));
  for (size_t i = 0; i < Block::kValues; i += kLanes) {
    const LaneMask x = hn::Le(hn::Abs(hn::LoadU(d, values + i)), SetAll(1e9f));
    const LaneMask root = hn::Le(hn::LoadU(d, block.roots + i), SetAll(1e9f));
    modest = hn::And(modest, hn::And(x, root));
  }
  return hn::AllTrue(d, modest);
}

// kernels::SplitSigns, for modest values; without branches, as signs come in any order.
template <class Block>
HWY_INLINE void SplitSignsOf(const float* HWY_RESTRICT x, GridBlock<Block>& block) {
#if HWY_CAP_GE256
  const Eight d;
  for (size_t i = 0; i < Block::kValues; i += 8) {
    const EightVec xi = hn::LoadU(d, x + i);
    const auto negative = hn::Not(hn::Ge(xi, hn::Zero(d)));
    hn::StoreU(hn::IfThenElse(negative, hn::Neg(xi), xi), d, block.x + i);
    hn::StoreMaskBits(d, negative, block.signs + i / 8);
    if constexpr (Block::kEvenSigns) {
      const EightVec energy = hn::Mul(hn::Mul(hn::LoadU(d, block.weights + i), xi), xi);
      const size_t least = hn::FindKnownFirstTrue(d, hn::Eq(energy, hn::MinOfLanes(d, energy)));
      const auto odd = static_cast<uint32_t>(hn::CountTrue(d, negative) & 1);
      float& flipped = block.x[i + least];
      flipped = FloatOf(BitsOf(flipped) ^ odd << 31);
      block.signs[i / 8] = static_cast<uint8_t>(block.signs[i / 8] ^ odd << least);
    }
  }
#else
  SplitSigns(x, block);
#endif
}

// Searches kGridBlocks blocks, which are modest.
template <class Block>
HWY_INLINE void SearchGridBlocks(const GridTables& tables, GridBlock<Block>* blocks) {
  constexpr size_t kSubBlocks = GridBlock<Block>::kSubBlocks, kSubValues = Block::kSubValues;
  constexpr size_t kGroups = GridBlock<Block>::kGroupsOfSub;
  for (size_t first = 0; first < kGridBlocks<Block> * kSubBlocks; first += kLanes) {
    GridLanes lanes;
    for (size_t j = 0; j < kLanes; ++j) {
      const GridBlock<Block>& block = blocks[(first + j) / kSubBlocks];
      const size_t begin = (first + j) % kSubBlocks * kSubValues;
      lanes.x[j] = block.x + begin;
      lanes.weights[j] = block.weights + begin;
      lanes.roots[j] = block.roots + begin;
    }
    GridLaneResult<Block> found;
    SearchSubBlocks(tables, lanes, found);
    HWY_ALIGN float scales[kLanes];
    hn::Store(found.scale, Lanes(), scales);
    const uint32_t empty = MaskBits(Lanes(), found.empty);
    for (size_t j = 0; j < kLanes; ++j) {
      GridBlock<Block>& block = blocks[(first + j) / kSubBlocks];
      const size_t sub = (first + j) % kSubBlocks;
      block.empty[sub] = (empty >> j & 1) != 0;
      block.scales[sub] = block.empty[sub] ? 0.0f : scales[j];
      for (size_t g = 0; g < kGroups; ++g) {
        const auto digits = static_cast<uint32_t>(found.digits[g * kLanes + j] & (kMoved - 1));
        block.points[sub * kGroups + g] =
            block.empty[sub] ? uint16_t{0} : static_cast<uint16_t>(tables.grid.PointOf(digits));
      }
      if (block.empty[sub]) std::memset(block.signs + sub * kSubValues / 8, 0, kSubValues / 8);
    }
  }
}

// The encoder. `importance` may be null.
template <class Block>
HWY_INLINE void EncodeGridRows(const GridTables& tables, const float* HWY_RESTRICT x,
                               const float* HWY_RESTRICT importance, size_t rows, size_t cols,
                               std::byte* HWY_RESTRICT out) {
  constexpr size_t kValues = Block::kValues, kBatch = kGridBlocks<Block>;
  const auto importance_of = [=](size_t b) {
    return ImportanceOfBlock<Block>(importance, cols, b);
  };
  const auto single = [&](size_t b) {
    Block block;
    EncodeGridBlock(x + b * kValues, importance_of(b), tables.grid, block);
    std::memcpy(out + b * sizeof(block), &block, sizeof(block));
  };
  const auto batch = [&](size_t first) HWY_ATTR {
    GridBlock<Block> work[kBatch];
    bool modest = true;
    for (size_t b = 0; b < kBatch; ++b) {
      const float* values = x + (first + b) * kValues;
      WeighGrid(values, importance_of(first + b), work[b]);
      modest = modest && IsModest(values, work[b]);
    }
    if (HWY_UNLIKELY(!modest)) {
      for (size_t b = 0; b < kBatch; ++b) single(first + b);
      return;
    }
    for (size_t b = 0; b < kBatch; ++b) SplitSignsOf(x + (first + b) * kValues, work[b]);
    SearchGridBlocks(tables, work);
    for (size_t b = 0; b < kBatch; ++b) {
      Block block;
      FinishGrid(work[b], block);
      std::memcpy(out + (first + b) * sizeof(block), &block, sizeof(block));
    }
  };
  ForEachBatch<kBatch>(BlockCount<Block>(rows, cols), batch, single);
}

}  // namespace HWY_NAMESPACE
}  // namespace quantized::kernels
HWY_AFTER_NAMESPACE();

#endif  // QUANTIZED_KERNELS_IQ_GRIDS_OCTAL_BLOCK_INL_H_
