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
HWY_INLINE bool IsTame(const float* HWY_RESTRICT x, const GridBlock<Block>& block) {
  const Lanes d;
  LaneMask tame = hn::Eq(hn::Zero(d), hn::Zero(d));
  for (size_t i = 0; i < Block::kValues; i += kLanes) {
    const FloatVec w = hn::LoadU(d, block.weights + i);
    tame = hn::And(tame, hn::Le(hn::Abs(hn::LoadU(d, x + i)), SetAll(0x1p30f)));
    tame = hn::And(tame, hn::Le(w, SetAll(0x1p60f)));
  }
  return hn::AllTrue(d, tame);
}

// SplitSigns of a tame block. Signs are as good as random: no branch depends on them.
template <class Block>
HWY_INLINE void SplitSignsOfLanes(const float* HWY_RESTRICT x, GridBlock<Block>& block) {
#if HWY_CAP_GE256
  const Eight d;
  for (size_t i = 0; i < Block::kValues; i += 8) {
    const EightVec xi = hn::LoadU(d, x + i);
    const auto negative = hn::Lt(xi, hn::Zero(d));
    hn::StoreU(hn::IfThenElse(negative, hn::Neg(xi), xi), d, block.x + i);
    uint8_t& signs = block.signs[i / 8];
    hn::StoreMaskBits(d, negative, &signs);
    if constexpr (Block::kEvenSigns) {
      const EightVec energy = hn::Mul(hn::Mul(hn::LoadU(d, block.weights + i), xi), xi);
      const size_t least = hn::FindKnownFirstTrue(d, hn::Eq(energy, hn::MinOfLanes(d, energy)));
      const auto odd = static_cast<uint32_t>(hn::CountTrue(d, negative) & 1);
      signs = static_cast<uint8_t>(signs ^ odd << least);
      block.x[i + least] = FloatOf(BitsOf(block.x[i + least]) ^ odd << 31);
    }
  }
#else
  SplitSigns(x, block);
#endif
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
    bool tame = true;
    for (size_t b = 0; b < kBatch; ++b) {
      const float* values = x + (first + b) * Block::kValues;
      WeighGridLanes(values, ImportanceOfBlock<Block>(importance, cols, first + b), work[b]);
      tame = tame && IsTame(values, work[b]);
    }
    if (HWY_UNLIKELY(!tame)) {
      for (size_t b = 0; b < kBatch; ++b) single(first + b);
      return;
    }
    for (size_t b = 0; b < kBatch; ++b) {
      SplitSignsOfLanes(x + (first + b) * Block::kValues, work[b]);
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
