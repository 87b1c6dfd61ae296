// IQ1_S: 256 values in 8 sub-blocks of 32, each value -1, 0 or 1 shifted up or down by 1/8
// (kernels/iq1_levels); a sub-block has one shift and a 3-bit scale; they share one f16 factor. 50
// bytes. A value is d * (2 s + 1) * level. Each group of 8 values is a point of a grid of 2048: the
// low 8 bits of its index are byte g of `points_low`, g the group; of the 16-bit word of sub-block
// j in `high`, bits 3k … 3k + 2 are the upper bits of its group k, bits 12-14 the scale, and bit 15
// is set where levels are shifted down.
//
// Encoding: values weigh by importance and twice the block's mean square. With X and W the sums of
// w x and w over the sorted values before a split, a candidate's sums are
//   A = (X1 - X0) q0 + (X2 - X1) q1 + (X32 - X2) q2,
//   B = (W1 - W0) q0 q0 + (W2 - W1) q1 q1 + (W32 - W2) q2 q2;
// all pairs of splits in ascending order, each with the levels up and then down. The largest scale
// becomes 15 = 2 * 7 + 1; d is stored 1.125 times as large.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "kernels/iq1_levels/iq1_levels.h"
#include "kernels/search/importance.h"
#include "kernels/types/extremes.h"
#include "kernels/types/half.h"
#include "kernels/types/host_device.h"
#include "kernels/types/rounding.h"

namespace quantized::kernels {

struct BlockIQ1S {
  static constexpr int kValues = 256;
  static constexpr int kSubBlocks = 8;
  static constexpr int kSubValues = 32;
  static constexpr float kMeanSquareFactor = 2;
  static constexpr int kAllDown = 15;  // of the groups of a sub-block
  // A sub-block whose largest magnitude is below has no scale.
  static constexpr float kSmallest = 1e-12f;
  uint16_t d;  // f16
  uint8_t points_low[kValues / kIQ1Group];
  uint16_t high[kSubBlocks];
};
static_assert(sizeof(BlockIQ1S) == 50);

using SubBlockIQ1S = IQ1SubBlock<BlockIQ1S::kSubValues>;

// Sums of w x and w over the first n sorted values, n = 0 … 32.
struct PrefixSumsIQ1S {
  float x[BlockIQ1S::kSubValues + 1], w[BlockIQ1S::kSubValues + 1];
};

QUANTIZED_HOST_DEVICE inline void SumPrefixes(const float* x, const float* weights,
                                              const uint8_t* order, PrefixSumsIQ1S& sums) {
  sums.x[0] = sums.w[0] = 0;
  for (int r = 0; r < BlockIQ1S::kSubValues; ++r) {
    const int i = order[r];
    sums.x[r + 1] = sums.x[r] + weights[i] * x[i];
    sums.w[r + 1] = sums.w[r] + weights[i];
  }
}

QUANTIZED_HOST_DEVICE inline IQ1Split SearchSplits(const PrefixSumsIQ1S& sums) {
  constexpr int n = BlockIQ1S::kSubValues;
  IQ1Split best;
  for (int i1 = 0; i1 <= n; ++i1) {
    for (int i2 = i1; i2 <= n; ++i2) {
      for (int shift = 0; shift < 2; ++shift) {
        const bool down = shift == 1;
        const float q0 = IQ1Level(0, down), q1 = IQ1Level(1, down), q2 = IQ1Level(2, down);
        const float a = (sums.x[i1] - sums.x[0]) * q0 + (sums.x[i2] - sums.x[i1]) * q1 +
                        (sums.x[n] - sums.x[i2]) * q2;
        const float b = (sums.w[i1] - sums.w[0]) * q0 * q0 + (sums.w[i2] - sums.w[i1]) * q1 * q1 +
                        (sums.w[n] - sums.w[i2]) * q2 * q2;
        best.Try(a, b, i1, i2, down ? BlockIQ1S::kAllDown : 0);
      }
    }
  }
  return best;
}

QUANTIZED_HOST_DEVICE inline void FinishBlockIQ1S(const SubBlockIQ1S* subs, BlockIQ1S& block) {
  block = {};
  float max = 0;
  for (int j = 0; j < BlockIQ1S::kSubBlocks; ++j) {
    for (int g = 0; g < SubBlockIQ1S::kGroups; ++g) {
      const int point = subs[j].points[g];
      block.points_low[SubBlockIQ1S::kGroups * j + g] = static_cast<uint8_t>(point & 255);
      block.high[j] = static_cast<uint16_t>(block.high[j] | point >> 8 << (3 * g));
    }
    max = LargerOf(max, subs[j].scale);
  }
  if (max == 0) return;
  const float d = max / 15;
  const float inverse = 1 / d;
  block.d = F32ToF16(d * 1.125f);
  for (int j = 0; j < BlockIQ1S::kSubBlocks; ++j) {
    const int scale = Clamp(NearestInt(0.5f * (inverse * subs[j].scale - 1)), 0, 7);
    block.high[j] =
        static_cast<uint16_t>(block.high[j] | scale << 12 | (subs[j].down != 0 ? 0x8000 : 0));
  }
}

// What the reference stops at, and `is_finite` refuses.
QUANTIZED_HOST_DEVICE inline void RefuseBlockIQ1S(BlockIQ1S& block) {
  block = {};
  block.d = 0x7E00;
}

// Steps: the form of the search.
template <class Steps>
QUANTIZED_HOST_DEVICE void SearchBlockIQ1S(const IqGrid& grid, const float* x, const float* weights,
                                           BlockIQ1S& block) {
  SubBlockIQ1S subs[BlockIQ1S::kSubBlocks];
  if (SearchSubBlocks<BlockIQ1S, PrefixSumsIQ1S, Steps>(grid, x, weights, subs)) {
    FinishBlockIQ1S(subs, block);
  } else {
    RefuseBlockIQ1S(block);
  }
}

QUANTIZED_HOST_DEVICE inline void EncodeBlockIQ1S(const IqGrid& grid, const float* x,
                                                  const float* importance, BlockIQ1S& block) {
  float weights[BlockIQ1S::kValues];
  WeighBlock<BlockIQ1S::kValues>(x, importance, BlockIQ1S::kMeanSquareFactor, weights);
  SearchBlockIQ1S<PlainIQ1>(grid, x, weights, block);
}

QUANTIZED_HOST_DEVICE inline void DecodeBlockIQ1S(const IqGrid& grid, const BlockIQ1S& block,
                                                  float* out) {
  for (int i = 0; i < BlockIQ1S::kValues; ++i) {
    const int group = i / kIQ1Group, k = group % SubBlockIQ1S::kGroups;
    const int high = block.high[i / BlockIQ1S::kSubValues];
    const float scale = F16ToF32(block.d) * static_cast<float>(2 * (high >> 12 & 7) + 1);
    const uint32_t point =
        grid.DigitsOf(block.points_low[group] | static_cast<uint16_t>((high >> (3 * k) & 7) << 8));
    out[i] = scale * IQ1Level(DigitOf<TernaryCube>(point, i % kIQ1Group), (high & 0x8000) != 0);
  }
}

// EncodeBlockIQ1S with this process's grid.
inline void EncodeBlockIQ1SWithGrid(const float* x, const float* importance, BlockIQ1S& block) {
  EncodeBlockIQ1S(IQ1Grid(), x, importance, block);
}

// The contracts of EncodeRows, DecodeValues and CheckFinite (kernels/codecs/codec.h).
void EncodeIQ1SRef(const float* x, const float* importance, size_t rows, size_t cols,
                   std::byte* out);
void EncodeIQ1SSimd(const float* x, const float* importance, size_t rows, size_t cols,
                    std::byte* out);
void DecodeIQ1S(const std::byte* in, size_t count, float* out);
bool IsFiniteIQ1S(const std::byte* in, size_t count);

}  // namespace quantized::kernels
