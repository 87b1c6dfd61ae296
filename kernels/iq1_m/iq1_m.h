// IQ1_M: 256 values in 16 sub-blocks of 16, each value -1, 0 or 1 shifted up or down by 1/8
// (kernels/iq1_levels); each group of 8 values has its own shift and each sub-block a 3-bit scale;
// they share one f16 factor. 56 bytes. A value is d * (2 s + 1) * level. Each group is a point of a
// grid of 2048: the low 8 bits of its index are byte g of `points_low`, g the group; half g % 2 of
// byte g / 2 of `high` holds the upper 3 bits, and bit 3 of the half is set where levels are
// shifted down. Of the four 16-bit words in `scales`, bits 3k … 3k + 2 of word n are the scale of
// sub-block 4 n + k, and bits 12-15 are bits 4n … 4n + 3 of d.
//
// Encoding: values weigh x^2 or, with importance, by twice the block's mean square. A half of a
// sub-block has P and Q, the sums of w x and w over its values before a split in sorted order, and
// its sums over all values, P16 and Q16. Neighbouring levels differ by 1, so a half contributes
//   a = P16 q2 - (P1 + P2),  b = Q16 q2 q2 + Q1 (q0 q0 - q1 q1) + Q2 (q1 q1 - q2 q2)
// to A and B. All pairs of splits in ascending order, each with the shifts (up, up), (up, down),
// (down, up), (down, down). The largest scale becomes 15 = 2 * 7 + 1; d is then fitted to all
// values with the 3-bit scales, and stored 1.1125 times as large.
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

struct BlockIQ1M {
  static constexpr int kValues = 256;
  static constexpr int kSubBlocks = 16;
  static constexpr int kSubValues = 16;
  static constexpr float kMeanSquareFactor = 2;
  // A sub-block whose largest magnitude is below has no scale.
  static constexpr float kSmallest = 1e-7f;
  uint8_t points_low[kValues / kIQ1Group];
  uint8_t high[kValues / kIQ1Group / 2];
  uint16_t scales[4];
};
static_assert(sizeof(BlockIQ1M) == 56);

using SubBlockIQ1M = IQ1SubBlock<BlockIQ1M::kSubValues>;

QUANTIZED_HOST_DEVICE inline uint16_t FactorOf(const BlockIQ1M& block) {
  int d = 0;
  for (int n = 0; n < 4; ++n) d |= block.scales[n] >> 12 << (4 * n);
  return static_cast<uint16_t>(d);
}

QUANTIZED_HOST_DEVICE inline void SetFactor(uint16_t d, BlockIQ1M& block) {
  for (int n = 0; n < 4; ++n) {
    block.scales[n] = static_cast<uint16_t>(block.scales[n] | (d >> (4 * n) & 15) << 12);
  }
}

QUANTIZED_HOST_DEVICE inline int ScaleOf(const BlockIQ1M& block, int j) {
  return 2 * (block.scales[j / 4] >> (3 * (j % 4)) & 7) + 1;
}

// Of each half, the sums of w x and w over its values among the first n sorted ones, n = 0 … 16.
struct PrefixSumsIQ1M {
  float x[2][BlockIQ1M::kSubValues + 1], w[2][BlockIQ1M::kSubValues + 1];
};

QUANTIZED_HOST_DEVICE inline void SumPrefixes(const float* x, const float* weights,
                                              const uint8_t* order, PrefixSumsIQ1M& sums) {
  for (int half = 0; half < 2; ++half) {
    float x_sum = 0, w_sum = 0;
    sums.x[half][0] = sums.w[half][0] = 0;
    for (int r = 0; r < BlockIQ1M::kSubValues; ++r) {
      const int i = order[r];
      const bool inside = i / kIQ1Group == half;  // adding 0 changes no sum: none is -0
      x_sum += inside ? weights[i] * x[i] : 0.0f;
      w_sum += inside ? weights[i] : 0.0f;
      sums.x[half][r + 1] = x_sum;
      sums.w[half][r + 1] = w_sum;
    }
  }
}

QUANTIZED_HOST_DEVICE inline IQ1Split SearchSplits(const PrefixSumsIQ1M& sums) {
  constexpr int n = BlockIQ1M::kSubValues;
  IQ1Split best;
  for (int i1 = 0; i1 <= n; ++i1) {
    for (int i2 = i1; i2 <= n; ++i2) {
      float a[2][2], b[2][2];  // of each half, shifted up and down
      for (int half = 0; half < 2; ++half) {
        const float *p = sums.x[half], *w = sums.w[half];
        for (int shift = 0; shift < 2; ++shift) {
          const bool down = shift == 1;
          const float q0 = IQ1Level(0, down), q1 = IQ1Level(1, down), q2 = IQ1Level(2, down);
          a[half][shift] = p[n] * q2 - (p[i1] + p[i2]);
          b[half][shift] =
              w[n] * q2 * q2 + w[i1] * (q0 * q0 - q1 * q1) + w[i2] * (q1 * q1 - q2 * q2);
        }
      }
      for (int k = 0; k < 4; ++k) {
        const int first = k >> 1, second = k & 1;
        best.Try(a[0][first] + a[1][second], b[0][first] + b[1][second], i1, i2,
                 first | second << 1);
      }
    }
  }
  return best;
}

// Writes all but d.
QUANTIZED_HOST_DEVICE inline void PackSubBlocks(const SubBlockIQ1M* subs, float max,
                                                BlockIQ1M& block) {
  const float inverse = 1 / (max / 15);
  block = {};
  for (int j = 0; j < BlockIQ1M::kSubBlocks; ++j) {
    for (int g = 0; g < 2; ++g) {
      block.points_low[2 * j + g] = static_cast<uint8_t>(subs[j].points[g] & 255);
      block.high[j] = static_cast<uint8_t>(block.high[j] | subs[j].points[g] >> 8 << (4 * g));
    }
    if (max == 0) continue;
    for (int g = 0; g < 2; ++g) {
      block.high[j] = static_cast<uint8_t>(block.high[j] | (subs[j].down >> g & 1) << (4 * g + 3));
    }
    const int scale = Clamp(NearestInt(0.5f * (inverse * subs[j].scale - 1)), 0, 7);
    block.scales[j / 4] = static_cast<uint16_t>(block.scales[j / 4] | scale << (3 * (j % 4)));
  }
}

// d for levels and scales that are fixed; `d` where there is no weight.
QUANTIZED_HOST_DEVICE inline float FitFactor(const IqGrid& grid, const float* x,
                                             const float* weights, const SubBlockIQ1M* subs,
                                             const BlockIQ1M& block, float d) {
  float a = 0, b = 0;
  for (int group = 0; group < BlockIQ1M::kValues / kIQ1Group; ++group) {
    const int j = group / 2, g = group % 2;
    const uint32_t point = grid.DigitsOf(subs[j].points[g]);
    const bool down = (subs[j].down >> g & 1) != 0;
    const float scale = static_cast<float>(ScaleOf(block, j));
    const float levels[3] = {IQ1Level(0, down) * scale, IQ1Level(1, down) * scale,
                             IQ1Level(2, down) * scale};
    for (int k = 0; k < kIQ1Group; ++k, ++x, ++weights) {
      const float q = levels[DigitOf<TernaryCube>(point, k)];
      a += *weights * q * *x;
      b += *weights * q * q;
    }
  }
  return b > 0 ? a / b : d;
}

QUANTIZED_HOST_DEVICE inline void FinishBlockIQ1M(const IqGrid& grid, const float* x,
                                                  const float* weights, const SubBlockIQ1M* subs,
                                                  BlockIQ1M& block) {
  float max = 0;
  for (int j = 0; j < BlockIQ1M::kSubBlocks; ++j) max = LargerOf(max, subs[j].scale);
  PackSubBlocks(subs, max, block);
  if (max == 0) return;
  SetFactor(F32ToF16(FitFactor(grid, x, weights, subs, block, max / 15) * 1.1125f), block);
}

// What the reference stops at, and `is_finite` refuses.
QUANTIZED_HOST_DEVICE inline void RefuseBlockIQ1M(BlockIQ1M& block) {
  block = {};
  SetFactor(0x7E00, block);
}

// The block of values that have these weights. Steps: the form of the search.
template <class Steps>
QUANTIZED_HOST_DEVICE void SearchBlockIQ1M(const IqGrid& grid, const float* x, const float* weights,
                                           BlockIQ1M& block) {
  SubBlockIQ1M subs[BlockIQ1M::kSubBlocks];
  if (SearchSubBlocks<BlockIQ1M, PrefixSumsIQ1M, Steps>(grid, x, weights, subs)) {
    FinishBlockIQ1M(grid, x, weights, subs, block);
  } else {
    RefuseBlockIQ1M(block);
  }
}

QUANTIZED_HOST_DEVICE inline void EncodeBlockIQ1M(const IqGrid& grid, const float* x,
                                                  BlockIQ1M& block) {
  float weights[BlockIQ1M::kValues];
  for (int i = 0; i < BlockIQ1M::kValues; ++i) weights[i] = x[i] * x[i];
  SearchBlockIQ1M<PlainIQ1>(grid, x, weights, block);
}

QUANTIZED_HOST_DEVICE inline void EncodeWeighedBlockIQ1M(const IqGrid& grid, const float* x,
                                                         const float* importance,
                                                         BlockIQ1M& block) {
  float weights[BlockIQ1M::kValues];
  WeighBlock<BlockIQ1M::kValues>(x, importance, BlockIQ1M::kMeanSquareFactor, weights);
  SearchBlockIQ1M<PlainIQ1>(grid, x, weights, block);
}

QUANTIZED_HOST_DEVICE inline void DecodeBlockIQ1M(const IqGrid& grid, const BlockIQ1M& block,
                                                  float* out) {
  const float d = F16ToF32(FactorOf(block));
  for (int i = 0; i < BlockIQ1M::kValues; ++i) {
    const int group = i / kIQ1Group, high = block.high[group / 2] >> (4 * (group % 2));
    const float scale = d * static_cast<float>(ScaleOf(block, i / BlockIQ1M::kSubValues));
    const uint32_t point =
        grid.DigitsOf(static_cast<uint16_t>(block.points_low[group] | (high & 7) << 8));
    out[i] = scale * IQ1Level(DigitOf<TernaryCube>(point, i % kIQ1Group), (high & 8) != 0);
  }
}

// EncodeWeighedBlockIQ1M with this process's grid.
inline void EncodeWeighedBlockIQ1MWithGrid(const float* x, const float* importance,
                                           BlockIQ1M& block) {
  EncodeWeighedBlockIQ1M(IQ1Grid(), x, importance, block);
}

// The contracts of EncodeRows, DecodeValues and CheckFinite (kernels/codecs/codec.h).
void EncodeIQ1MRef(const float* x, const float* importance, size_t rows, size_t cols,
                   std::byte* out);
void EncodeIQ1MSimd(const float* x, const float* importance, size_t rows, size_t cols,
                    std::byte* out);
void DecodeIQ1M(const std::byte* in, size_t count, float* out);
bool IsFiniteIQ1M(const std::byte* in, size_t count);

}  // namespace quantized::kernels
