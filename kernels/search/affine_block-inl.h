// The encoder that Q2_K, Q4_K and Q5_K share (kernels/search/affine_block.h), with one sub-block
// per lane in the search.

#if defined(QUANTIZED_KERNELS_SEARCH_AFFINE_BLOCK_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef QUANTIZED_KERNELS_SEARCH_AFFINE_BLOCK_INL_H_
#undef QUANTIZED_KERNELS_SEARCH_AFFINE_BLOCK_INL_H_
#else
#define QUANTIZED_KERNELS_SEARCH_AFFINE_BLOCK_INL_H_
#endif

#include <cstring>

#include "kernels/lanes/lanes-inl.h"
#include "kernels/lanes/requantize-inl.h"
#include "kernels/search/affine-inl.h"
#include "kernels/search/affine_block.h"

HWY_BEFORE_NAMESPACE();
namespace quantized::kernels {
namespace HWY_NAMESPACE {

// Blocks that are searched at once: enough for a full vector of sub-blocks.
template <class Block>
inline constexpr size_t kAffineBatch = kLanes > Block::kSubBlocks ? kLanes / Block::kSubBlocks : 1;

// The search's results for the sub-blocks of a batch, in their order.
template <class Block>
struct AffineFits {
  static constexpr size_t kCount = kAffineBatch<Block> * Block::kSubBlocks;
  HWY_ALIGN float scale[kCount];
  HWY_ALIGN float min[kCount];
  HWY_ALIGN float inverse[kCount];
  HWY_ALIGN float start[kCount];
};

// The weights of `runs`, laid out as they are.
template <size_t kValues, bool kMagnitude>
HWY_INLINE void AffineWeights(const float* HWY_RESTRICT runs, float* HWY_RESTRICT weights) {
  const Lanes d;
  FloatVec base = hn::Zero(d);
  if constexpr (!kMagnitude) {
    FloatVec sum_x2 = hn::Zero(d);
    for (size_t i = 0; i < kValues * kLanes; i += kLanes) {
      const FloatVec xi = hn::Load(d, runs + i);
      sum_x2 = hn::Add(sum_x2, hn::Mul(xi, xi));
    }
    base = hn::Sqrt(hn::Div(sum_x2, SetAll(kValues)));
  }
  for (size_t i = 0; i < kValues * kLanes; i += kLanes) {
    hn::Store(hn::Add(base, hn::Abs(hn::Load(d, runs + i))), d, weights + i);
  }
}

template <class Block>
HWY_INLINE void SearchSubBlocks(const float* HWY_RESTRICT x, AffineFits<Block>& fits) {
  constexpr size_t kSubValues = Block::kSubValues;
  const Lanes d;
  for (size_t j = 0; j < AffineFits<Block>::kCount; j += kLanes) {
    HWY_ALIGN float runs[kSubValues * kLanes];
    HWY_ALIGN float weights[kSubValues * kLanes];
    LoadRuns<kSubValues>(x + j * kSubValues, runs);
    AffineWeights<kSubValues, Block::kWeighByMagnitude>(runs, weights);
    const AffineResult found =
        SearchAffine<kSubValues, Block::kMaxCode, Block::kGrid.absolute_error>(runs, weights,
                                                                               Block::kGrid);
    hn::Store(found.scale, d, fits.scale + j);
    hn::Store(found.min, d, fits.min + j);
    hn::Store(found.inverse, d, fits.inverse + j);
    hn::Store(found.start, d, fits.start + j);
  }
}

// Block `b` of the batch, whose values are at `x`.
template <class Block>
HWY_INLINE void FinishAffineBlock(const float* HWY_RESTRICT x, const AffineFits<Block>& found,
                                  size_t b, Block& block) {
  constexpr size_t kSubValues = Block::kSubValues, kSubBlocks = Block::kSubBlocks;
  AffineFit fits[kSubBlocks];
  for (size_t j = 0; j < kSubBlocks; ++j) {
    fits[j] = {found.scale[b * kSubBlocks + j], found.min[b * kSubBlocks + j]};
  }
  EncodeScales(fits, block);
  uint8_t codes[Block::kValues];
  for (size_t j = 0; j < kSubBlocks; ++j) {
    const size_t lane = b * kSubBlocks + j;
    const AffineFit sub = ScaleOf(block, static_cast<int>(j));
    if (sub.scale != 0) {
      RoundQuotients<kSubValues>(x + j * kSubValues, sub.min, sub.scale, 0, Block::kMaxCode,
                                 codes + j * kSubValues);
    } else {
      RoundProducts<kSubValues>(x + j * kSubValues, found.start[lane], found.inverse[lane], 0,
                                Block::kMaxCode, codes + j * kSubValues);
    }
  }
  PackCodes(codes, block);
}

template <class Block>
void EncodeAffineBlocks(const float* HWY_RESTRICT x, size_t blocks, std::byte* HWY_RESTRICT out) {
  const auto batch = [&](size_t first) HWY_ATTR {
    AffineFits<Block> found;
    SearchSubBlocks<Block>(x + first * Block::kValues, found);
    for (size_t b = 0; b < kAffineBatch<Block>; ++b) {
      Block block;
      FinishAffineBlock(x + (first + b) * Block::kValues, found, b, block);
      std::memcpy(out + (first + b) * sizeof(Block), &block, sizeof(Block));
    }
  };
  const auto single = [&](size_t b) {
    Block block;
    EncodeAffineBlock(x + b * Block::kValues, block);
    std::memcpy(out + b * sizeof(Block), &block, sizeof(Block));
  };
  ForEachBatch<kAffineBatch<Block>>(blocks, batch, single);
}

}  // namespace HWY_NAMESPACE
}  // namespace quantized::kernels
HWY_AFTER_NAMESPACE();

#endif  // QUANTIZED_KERNELS_SEARCH_AFFINE_BLOCK_INL_H_
