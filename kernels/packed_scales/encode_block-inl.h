// The encoder that Q4_K and Q5_K share (kernels/packed_scales/encode_block.h), with one sub-block
// per lane in the search.

#if defined(QUANTIZED_KERNELS_PACKED_SCALES_ENCODE_BLOCK_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef QUANTIZED_KERNELS_PACKED_SCALES_ENCODE_BLOCK_INL_H_
#undef QUANTIZED_KERNELS_PACKED_SCALES_ENCODE_BLOCK_INL_H_
#else
#define QUANTIZED_KERNELS_PACKED_SCALES_ENCODE_BLOCK_INL_H_
#endif

#include <cstring>

#include "kernels/lanes/lanes-inl.h"
#include "kernels/lanes/requantize-inl.h"
#include "kernels/packed_scales/encode_block.h"
#include "kernels/packed_scales/packed_scales.h"
#include "kernels/search/affine-inl.h"

HWY_BEFORE_NAMESPACE();
namespace quantized::kernels {
namespace HWY_NAMESPACE {

// sqrt(mean x^2) + |x|, laid out as `x` is.
template <size_t kValues>
HWY_INLINE void MagnitudeWeights(const float* HWY_RESTRICT x, float* HWY_RESTRICT weights) {
  const Lanes d;
  FloatVec sum_x2 = hn::Zero(d);
  for (size_t i = 0; i < kValues * kLanes; i += kLanes) {
    const FloatVec xi = hn::Load(d, x + i);
    sum_x2 = hn::Add(sum_x2, hn::Mul(xi, xi));
  }
  const FloatVec root_mean_square = hn::Sqrt(hn::Div(sum_x2, SetAll(kValues)));
  for (size_t i = 0; i < kValues * kLanes; i += kLanes) {
    hn::Store(hn::Add(root_mean_square, hn::Abs(hn::Load(d, x + i))), d, weights + i);
  }
}

template <class Block>
void EncodeBatchWithPackedScales(const float* HWY_RESTRICT x, size_t blocks, std::byte* out) {
  constexpr size_t kSubValues = Block::kSubValues, kSubBlocks = Block::kSubBlocks;
  constexpr size_t kBatch = kLanes > kSubBlocks ? kLanes / kSubBlocks : 1;

  const auto batch = [&](size_t first) HWY_ATTR {
    const Lanes d;
    HWY_ALIGN float scale[kBatch * kSubBlocks], min[kBatch * kSubBlocks];
    HWY_ALIGN float inverse[kBatch * kSubBlocks], start[kBatch * kSubBlocks];
    for (size_t j = 0; j < kBatch * kSubBlocks; j += kLanes) {
      HWY_ALIGN float runs[kSubValues * kLanes], weights[kSubValues * kLanes];
      LoadRuns<kSubValues>(x + first * Block::kValues + j * kSubValues, runs);
      MagnitudeWeights<kSubValues>(runs, weights);
      const AffineResult found =
          SearchAffine<kSubValues, Block::kMaxCode, Block::kGrid.absolute_error>(runs, weights,
                                                                                 Block::kGrid);
      hn::Store(found.scale, d, scale + j);
      hn::Store(found.min, d, min + j);
      hn::Store(found.inverse, d, inverse + j);
      hn::Store(found.start, d, start + j);
    }
    for (size_t b = 0; b < kBatch; ++b) {
      AffineFit fits[kSubBlocks];
      for (size_t j = 0; j < kSubBlocks; ++j) {
        fits[j] = {scale[b * kSubBlocks + j], min[b * kSubBlocks + j]};
      }
      Block block;
      PackScales(fits, block.scales);
      uint8_t codes[Block::kValues];
      for (size_t j = 0; j < kSubBlocks; ++j) {
        const float* sub_x = x + (first + b) * Block::kValues + j * kSubValues;
        uint8_t* sub_codes = codes + j * kSubValues;
        const AffineFit sub = UnpackScale(block.scales, static_cast<int>(j));
        if (sub.scale != 0) {
          RoundQuotients<kSubValues>(sub_x, sub.min, sub.scale, 0, Block::kMaxCode, sub_codes);
        } else {
          const size_t lane = b * kSubBlocks + j;
          RoundProducts<kSubValues>(sub_x, start[lane], inverse[lane], 0, Block::kMaxCode,
                                    sub_codes);
        }
      }
      PackCodes(codes, block);
      std::memcpy(out + (first + b) * sizeof(Block), &block, sizeof(Block));
    }
  };
  const auto single = [&](size_t b) {
    Block block;
    EncodeBlockWithPackedScales(x + b * Block::kValues, block);
    std::memcpy(out + b * sizeof(Block), &block, sizeof(Block));
  };
  ForEachBatch<kBatch>(blocks, batch, single);
}

}  // namespace HWY_NAMESPACE
}  // namespace quantized::kernels
HWY_AFTER_NAMESPACE();

#endif  // QUANTIZED_KERNELS_PACKED_SCALES_ENCODE_BLOCK_INL_H_
