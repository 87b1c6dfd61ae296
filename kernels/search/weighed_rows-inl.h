// The encoders with importance of Q4_0, Q4_1, Q5_0 and Q5_1 (kernels/search/weighed_rows.h): one
// row per lane for the mean squares, one block per lane in the search.

#if defined(QUANTIZED_KERNELS_SEARCH_WEIGHED_ROWS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef QUANTIZED_KERNELS_SEARCH_WEIGHED_ROWS_INL_H_
#undef QUANTIZED_KERNELS_SEARCH_WEIGHED_ROWS_INL_H_
#else
#define QUANTIZED_KERNELS_SEARCH_WEIGHED_ROWS_INL_H_
#endif

#include <cstring>

#include "kernels/lanes/half-inl.h"
#include "kernels/lanes/lanes-inl.h"
#include "kernels/lanes/requantize-inl.h"
#include "kernels/search/affine-inl.h"
#include "kernels/search/importance-inl.h"
#include "kernels/search/symmetric-inl.h"
#include "kernels/types/nibbles.h"
#include "kernels/types/rows.h"

HWY_BEFORE_NAMESPACE();
namespace quantized::kernels {
namespace HWY_NAMESPACE {

// Encodes the blocks of up to kLanes rows. kEncode: the plain form for one block and its weights.
// batch(x, weights, blocks): encodes kBatch blocks.
template <class Block, auto kEncode, size_t kBatch, class Batch>
HWY_INLINE void EncodeWeighedRowGroup(const float* HWY_RESTRICT x,
                                      const float* HWY_RESTRICT importance, size_t rows,
                                      size_t cols, std::byte* HWY_RESTRICT out,
                                      const Batch& batch) {
  constexpr size_t kValues = Block::kValues;
  const size_t row_blocks = cols / kValues;
  HWY_ALIGN float mean_square[kLanes];
  hn::Store(hn::Div(SumsOfSquares(x, rows, cols), SetAll(static_cast<float>(cols))), Lanes(),
            mean_square);
  const auto weigh = [&](size_t b, float* weights) HWY_ATTR {
    WeighValues<kValues>(x + b * kValues, importance + b % row_blocks * kValues,
                         mean_square[b / row_blocks], weights);
  };
  const auto many = [&](size_t first) HWY_ATTR {
    HWY_ALIGN float weights[kBatch * kValues];
    for (size_t b = 0; b < kBatch; ++b) weigh(first + b, weights + b * kValues);
    Block encoded[kBatch];
    batch(x + first * kValues, weights, encoded);
    std::memcpy(out + first * sizeof(Block), encoded, sizeof(encoded));
  };
  const auto single = [&](size_t b) HWY_ATTR {
    HWY_ALIGN float weights[kValues];
    weigh(b, weights);
    Block block;
    kEncode(x + b * kValues, weights, block);
    std::memcpy(out + b * sizeof(Block), &block, sizeof(Block));
  };
  ForEachBatch<kBatch>(rows * row_blocks, many, single);
}

template <class Block, auto kEncode, size_t kBatch, class Batch>
HWY_INLINE void EncodeWeighedRows(const float* HWY_RESTRICT x, const float* HWY_RESTRICT importance,
                                  size_t rows, size_t cols, std::byte* HWY_RESTRICT out,
                                  const Batch& batch) {
  const size_t row_bytes = BlockCount<Block>(1, cols) * sizeof(Block);
  for (size_t row = 0; row < rows; row += kLanes) {
    EncodeWeighedRowGroup<Block, kEncode, kBatch>(x + row * cols, importance,
                                                  HWY_MIN(rows - row, kLanes), cols,
                                                  out + row * row_bytes, batch);
  }
}

// Q4_0 and Q5_0: scale and codes of the symmetric search.
template <class Block, auto kEncode>
HWY_INLINE void EncodeWeighedSymmetricRows(const float* HWY_RESTRICT x,
                                           const float* HWY_RESTRICT importance, size_t rows,
                                           size_t cols, std::byte* HWY_RESTRICT out) {
  constexpr size_t kValues = Block::kValues;
  const auto batch = [](const float* batch_x, const float* weights, Block* blocks) HWY_ATTR {
    HWY_ALIGN float runs[kValues * kLanes], w[kValues * kLanes];
    LoadRuns<kValues>(batch_x, runs);
    LoadRuns<kValues>(weights, w);
    const SymmetricResult found = SearchSymmetric<kValues, Block::kLevels>(runs, w);
    HWY_ALIGN uint16_t scale[kLanes];
    HWY_ALIGN float inverse[kLanes];
    hn::Store(F32ToF16(found.scale), HalfLanes(), scale);
    hn::Store(found.inverse, Lanes(), inverse);
    for (size_t b = 0; b < kLanes; ++b) {
      uint8_t codes[kValues];
      RoundSymmetric<kValues, Block::kLevels>(batch_x + b * kValues, inverse[b], codes);
      blocks[b].d = scale[b];
      PackNibbles(codes, blocks[b]);
    }
  };
  EncodeWeighedRows<Block, kEncode, kLanes>(x, importance, rows, cols, out, batch);
}

// Q4_1 and Q5_1: scale, minimum and codes of the affine search.
template <class Block, auto kEncode>
HWY_INLINE void EncodeWeighedAffineRows(const float* HWY_RESTRICT x,
                                        const float* HWY_RESTRICT importance, size_t rows,
                                        size_t cols, std::byte* HWY_RESTRICT out) {
  const auto batch = [](const float* batch_x, const float* weights, Block* blocks) HWY_ATTR {
    constexpr size_t kValues = Block::kValues, kStride = kValues * kLanes;
    HWY_ALIGN float runs[kAffineGroups * kStride], w[kAffineGroups * kStride];
    for (size_t g = 0; g < kAffineGroups; ++g) {
      LoadRuns<kValues>(batch_x + g * kStride, runs + g * kStride);
      LoadRuns<kValues>(weights + g * kStride, w + g * kStride);
    }
    AffineResult found[kAffineGroups];
    SearchAffine<kValues, Block::kMaxCode, kWeighedGrid.absolute_error>(runs, w, kWeighedGrid,
                                                                        found);
    for (size_t g = 0; g < kAffineGroups; ++g) {
      HWY_ALIGN uint16_t scale[kLanes], min[kLanes];
      HWY_ALIGN float inverse[kLanes], start[kLanes];
      hn::Store(F32ToF16(found[g].scale), HalfLanes(), scale);
      hn::Store(F32ToF16(hn::Neg(found[g].min)), HalfLanes(), min);
      hn::Store(found[g].inverse, Lanes(), inverse);
      hn::Store(found[g].start, Lanes(), start);
      for (size_t b = 0; b < kLanes; ++b) {
        Block& block = blocks[g * kLanes + b];
        uint8_t codes[kValues];
        RoundProducts<kValues>(batch_x + g * kStride + b * kValues, start[b], inverse[b], 0,
                               Block::kMaxCode, codes);
        block.d = scale[b];
        block.m = min[b];
        PackNibbles(codes, block);
      }
    }
  };
  EncodeWeighedRows<Block, kEncode, kAffineGroups * kLanes>(x, importance, rows, cols, out, batch);
}

}  // namespace HWY_NAMESPACE
}  // namespace quantized::kernels
HWY_AFTER_NAMESPACE();

#endif  // QUANTIZED_KERNELS_SEARCH_WEIGHED_ROWS_INL_H_
