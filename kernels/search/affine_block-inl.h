// The encoders that Q2_K, Q4_K and Q5_K share (kernels/search/affine_block.h), with one sub-block
// per lane in the search and one block per lane in the search for its factors.

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
#include "kernels/search/importance-inl.h"
#include "kernels/search/unsigned-inl.h"

HWY_BEFORE_NAMESPACE();
namespace quantized::kernels {
namespace HWY_NAMESPACE {

// Blocks that fill the vectors of a search, at least one.
template <class Block>
inline constexpr size_t kAffineBatch = HWY_MAX(kAffineGroups* kLanes / Block::kSubBlocks, 1);

// The search's results for the sub-blocks of kBlocks blocks, in their order.
template <class Block, size_t kBlocks>
struct AffineFits {
  static constexpr size_t kCount = kBlocks * Block::kSubBlocks;
  HWY_ALIGN float scale[kCount];
  HWY_ALIGN float min[kCount];
  HWY_ALIGN float inverse[kCount];
  HWY_ALIGN float start[kCount];
};

// The weights of `runs` without importance, laid out as they are.
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

// Searches the sub-blocks of kBlocks blocks at `x`. weigh(first sub-block, runs, weights) gives the
// weights of kLanes sub-blocks, laid out as their values in `runs`.
template <bool kAbsolute, class Block, size_t kBlocks, class Weigh>
HWY_INLINE void SearchSubBlocks(const float* HWY_RESTRICT x, const AffineGrid& grid,
                                const Weigh& weigh, AffineFits<Block, kBlocks>& fits) {
  constexpr size_t kSubValues = Block::kSubValues, kStride = kSubValues * kLanes;
  const Lanes d;
  for (size_t first = 0; first < kBlocks * Block::kSubBlocks; first += kAffineGroups * kLanes) {
    HWY_ALIGN float runs[kAffineGroups * kStride];
    HWY_ALIGN float weights[kAffineGroups * kStride];
    for (size_t g = 0; g < kAffineGroups; ++g) {
      const size_t j = first + g * kLanes;
      LoadRuns<kSubValues>(x + j * kSubValues, runs + g * kStride);
      weigh(j, runs + g * kStride, weights + g * kStride);
    }
    AffineResult found[kAffineGroups];
    SearchAffine<kSubValues, Block::kMaxCode, kAbsolute>(runs, weights, grid, found);
    for (size_t g = 0; g < kAffineGroups; ++g) {
      const size_t j = first + g * kLanes;
      hn::Store(found[g].scale, d, fits.scale + j);
      hn::Store(found[g].min, d, fits.min + j);
      hn::Store(found[g].inverse, d, fits.inverse + j);
      hn::Store(found[g].start, d, fits.start + j);
    }
  }
}

// RoundAffineCodes of block `b` of those searched, whose values are at `x`.
template <class Block, size_t kBlocks>
HWY_INLINE void RoundAffineCodes(const float* HWY_RESTRICT x,
                                 const AffineFits<Block, kBlocks>& found, size_t b, Block& block) {
  constexpr size_t kSubValues = Block::kSubValues, kSubBlocks = Block::kSubBlocks;
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
  constexpr size_t kSubBlocks = Block::kSubBlocks;
  const auto weigh = [](size_t, const float* runs, float* weights) HWY_ATTR {
    AffineWeights<Block::kSubValues, Block::kWeighByMagnitude>(runs, weights);
  };
  const auto batch = [&](size_t first) HWY_ATTR {
    AffineFits<Block, kAffineBatch<Block>> found;
    SearchSubBlocks<Block::kGrid.absolute_error>(x + first * Block::kValues, Block::kGrid, weigh,
                                                 found);
    for (size_t b = 0; b < kAffineBatch<Block>; ++b) {
      AffineFit fits[kSubBlocks];
      for (size_t j = 0; j < kSubBlocks; ++j) {
        fits[j] = {found.scale[b * kSubBlocks + j], found.min[b * kSubBlocks + j]};
      }
      Block block;
      EncodeScales(fits, block);
      RoundAffineCodes(x + (first + b) * Block::kValues, found, b, block);
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

// SearchUnsigned of kLanes blocks, whose `values` and `weights` come one block after the other.
template <int kMaxScale, int kSubBlocks>
HWY_INLINE void QuantizeScales(const float* HWY_RESTRICT values, const float* HWY_RESTRICT weights,
                               SubScales<kSubBlocks> (&scales)[kLanes]) {
  HWY_ALIGN float x[kSubBlocks * kLanes], w[kSubBlocks * kLanes], factors[kLanes];
  uint8_t codes[kSubBlocks * kLanes];
  TransposeRuns<kSubBlocks>(values, x);
  TransposeRuns<kSubBlocks>(weights, w);
  hn::Store(SearchUnsigned<kSubBlocks, kMaxScale>(x, w, codes), Lanes(), factors);
  for (size_t b = 0; b < kLanes; ++b) {
    scales[b].factor = factors[b];
    for (size_t j = 0; j < kSubBlocks; ++j) scales[b].codes[j] = codes[j * kLanes + b];
  }
}

// Encodes kLanes blocks at `x`, whose values have the weights at `weights`.
template <class Block>
HWY_INLINE void EncodeWeighedAffineBatch(const float* HWY_RESTRICT x,
                                         const float* HWY_RESTRICT weights,
                                         Block (&blocks)[kLanes]) {
  constexpr size_t kSubValues = Block::kSubValues;
  AffineFits<Block, kLanes> found;
  HWY_ALIGN float sub_weights[kLanes * Block::kSubBlocks];
  const auto weigh = [&](size_t first, const float*, float* runs) HWY_ATTR {
    LoadRuns<kSubValues>(weights + first * kSubValues, runs);
    hn::Store(SumsOfRuns<kSubValues>(runs), Lanes(), sub_weights + first);
  };
  SearchSubBlocks<kWeighedGrid.absolute_error>(x, kWeighedGrid, weigh, found);
  SubScales<Block::kSubBlocks> scales[kLanes], minima[kLanes];
  QuantizeScales<Block::kMaxScale>(found.scale, sub_weights, scales);
  QuantizeScales<Block::kMaxScale>(found.min, sub_weights, minima);
  for (size_t b = 0; b < kLanes; ++b) {
    SetScales(scales[b], minima[b], blocks[b]);
    RoundAffineCodes(x + b * Block::kValues, found, b, blocks[b]);
  }
}

template <class Block>
void EncodeWeighedAffineBlocks(const float* HWY_RESTRICT x, const float* HWY_RESTRICT importance,
                               size_t rows, size_t cols, std::byte* HWY_RESTRICT out) {
  EncodeWeighedBatches<Block, EncodeWeighedAffineBlock<Block>>(
      x, importance, rows, cols, out,
      [](const float* batch_x, const float* weights, Block(&blocks)[kLanes])
          HWY_ATTR { EncodeWeighedAffineBatch(batch_x, weights, blocks); });
}

}  // namespace HWY_NAMESPACE
}  // namespace quantized::kernels
HWY_AFTER_NAMESPACE();

#endif  // QUANTIZED_KERNELS_SEARCH_AFFINE_BLOCK_INL_H_
