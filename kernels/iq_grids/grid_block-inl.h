// Blocks of the IQ2 and IQ3 types (grid_block.h) in batches of at least kLanes sub-blocks.

#if defined(QUANTIZED_KERNELS_IQ_GRIDS_GRID_BLOCK_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef QUANTIZED_KERNELS_IQ_GRIDS_GRID_BLOCK_INL_H_
#undef QUANTIZED_KERNELS_IQ_GRIDS_GRID_BLOCK_INL_H_
#else
#define QUANTIZED_KERNELS_IQ_GRIDS_GRID_BLOCK_INL_H_
#endif

#include <cstddef>
#include <cstring>

#include "kernels/iq_grids/grid_block.h"
#include "kernels/iq_grids/grid_search-inl.h"
#include "kernels/search/importance-inl.h"
#include "kernels/types/rows.h"

HWY_BEFORE_NAMESPACE();
namespace quantized::kernels {
namespace HWY_NAMESPACE {

// Whether nothing can overflow in the search: |x| <= 2^30 and weights <= 2^60 keep distances below
// 2^110 and sums below 2^100. False for NaN.
template <class Block>
HWY_INLINE bool IsTame(const GridBlock<Block>& block) {
  const Lanes d;
  LaneMask tame = hn::Eq(hn::Zero(d), hn::Zero(d));
  for (size_t i = 0; i < Block::kValues; i += kLanes) {
    const FloatVec x = hn::Abs(hn::LoadU(d, block.x + i)), w = hn::LoadU(d, block.weights + i);
    tame = hn::And(tame, hn::And(hn::Le(x, SetAll(0x1p30f)), hn::Le(w, SetAll(0x1p60f))));
  }
  return hn::AllTrue(d, tame);
}

// WeighGrid, along the values.
template <class Block>
HWY_INLINE void WeighGridLanes(const float* HWY_RESTRICT x, const float* HWY_RESTRICT importance,
                               GridBlock<Block>& block) {
  const Lanes d;
  if (importance == nullptr) {
    WeighGrid(x, importance, block);
    return;
  }
  const float mean_square =
      Block::kMeanSquareFactor * SumOfSquares(x, Block::kValues) / Block::kValues;
  WeighValues<Block::kValues>(x, importance, mean_square, block.weights);
  for (size_t i = 0; i < Block::kValues; i += kLanes) {
    hn::StoreU(hn::Sqrt(hn::LoadU(d, block.weights + i)), d, block.roots + i);
  }
}

// EncodeGridBlock for all blocks of some rows.
template <class Block>
void EncodeGridBlocks(const IqGrid& grid, const LaneLists& lists, const float* HWY_RESTRICT x,
                      const float* HWY_RESTRICT importance, size_t rows, size_t cols,
                      std::byte* HWY_RESTRICT out) {
  constexpr size_t kSubBlocks = GridBlock<Block>::kSubBlocks;
  constexpr size_t kBatch = HWY_MAX(kLanes / kSubBlocks, 1);
  const auto store = [out](const Block& block, size_t b) {
    std::memcpy(out + b * sizeof(Block), &block, sizeof(Block));
  };
  const auto single = [&](size_t b) {
    Block block;
    EncodeGridBlock(x + b * Block::kValues, ImportanceOfBlock<Block>(importance, cols, b), grid,
                    block);
    store(block, b);
  };
  const auto batch = [&](size_t first) HWY_ATTR {
    GridBlock<Block> work[kBatch];
    for (size_t b = 0; b < kBatch; ++b) {
      const float* values = x + (first + b) * Block::kValues;
      WeighGridLanes(values, ImportanceOfBlock<Block>(importance, cols, first + b), work[b]);
      SplitSigns(values, work[b]);
    }
    bool tame = true;
    for (size_t b = 0; b < kBatch; ++b) tame = tame && IsTame(work[b]);
    if (HWY_UNLIKELY(!tame)) {
      for (size_t b = 0; b < kBatch; ++b) single(first + b);
      return;
    }
    for (size_t j = 0; j < kBatch * kSubBlocks; j += kLanes) {
      SearchGridLanes(grid, lists, work, j);
    }
    for (size_t b = 0; b < kBatch; ++b) {
      Block block;
      FinishGrid(work[b], block);
      store(block, first + b);
    }
  };
  ForEachBatch<kBatch>(BlockCount<Block>(rows, cols), batch, single);
}

}  // namespace HWY_NAMESPACE
}  // namespace quantized::kernels
HWY_AFTER_NAMESPACE();

#endif  // QUANTIZED_KERNELS_IQ_GRIDS_GRID_BLOCK_INL_H_
