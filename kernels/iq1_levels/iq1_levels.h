// The levels of IQ1_S and IQ1_M, and how the values of a sub-block come to them.
//
// A value is a scale times -1, 0 or 1, and the levels of each group of 8 values are shifted by 1/8,
// up or down. Which values take which level is exhaustively searched: sorted by value, those before
// a first split take the lowest, those from a second split on the highest. A candidate has the sums
// A = sum w x q and B = sum w q q over its levels q, the scale A / B, and explains A^2 / B of the
// energy; another one is taken where it is strictly better. (Sums and candidates: the types.)
//
// The digits 0, 1, 2 of a group's levels must then be a point of the grid of 2048 points
// (kernels/iq_grids). Digits that are not take the neighbour with the smallest sum of
// w (scale q - x)^2, the first of equal ones; the scale is fitted again if a group moved.
// Sums run in the order of the values, each product and sum rounded to f32; products from the left.
#pragma once

#include <cfloat>
#include <cstdint>

#include "kernels/iq_grids/iq_grids.h"
#include "kernels/types/extremes.h"
#include "kernels/types/host_device.h"

namespace quantized::kernels {

inline constexpr int kIQ1Group = 8;  // values that share a grid point
inline constexpr float kIQ1Shift = 0.125f;

// Level of digit 0, 1 or 2 in a group whose levels are shifted up or down.
QUANTIZED_HOST_DEVICE inline float IQ1Level(int digit, bool down) {
  return static_cast<float>(digit - 1) + (down ? -kIQ1Shift : kIQ1Shift);
}

// order[r]: the index of the r-th smallest value; equal values keep their order.
template <int kValues>
QUANTIZED_HOST_DEVICE void SortIQ1(const float* x, uint8_t* order) {
  for (int i = 0; i < kValues; ++i) {
    int r = i;
    for (; r > 0 && x[i] < x[order[r - 1]]; --r) order[r] = order[r - 1];
    order[r] = static_cast<uint8_t>(i);
  }
}

// In sorted order, [0, first) has digit 0, [first, second) 1 and the others 2. Bit g of `down`: the
// levels of group g are shifted down.
struct IQ1Split {
  int first = -1, second = -1;  // -1: there was no candidate
  int down = 0;
  float scale = 0;
  float score = -FLT_MAX;

  QUANTIZED_HOST_DEVICE bool Found() const { return first >= 0; }
  QUANTIZED_HOST_DEVICE void Try(float a, float b, int i1, int i2, int shifts) {
    if (!(b > 0 && a * a > score * b)) return;
    scale = a / b;
    score = scale * a;
    first = i1;
    second = i2;
    down = shifts;
  }
};

// A sub-block without scale has digits 0.
template <int kValues>
struct IQ1SubBlock {
  static constexpr int kGroups = kValues / kIQ1Group;
  float scale = 0;
  int down = 0;
  uint16_t points[kGroups] = {};  // of the grid
};

// The grid point for digits that are not on the grid; -1 where all distances overflow.
QUANTIZED_HOST_DEVICE inline int NearestIQ1(const IqGrid& grid, uint32_t digits, const float* x,
                                            const float* weights, float scale, bool down) {
  int nearest = -1;
  float least = FLT_MAX;
  const IqNeighbours neighbours = grid.NeighboursOf(digits);
  for (int n = 0; n < neighbours.count; ++n) {
    const uint32_t point = grid.DigitsOf(neighbours.points[n]);
    float distance = 0;
    for (int j = 0; j < kIQ1Group; ++j) {
      const float difference = scale * IQ1Level(DigitOf<TernaryCube>(point, j), down) - x[j];
      distance += weights[j] * difference * difference;
    }
    if (distance < least) {
      least = distance;
      nearest = neighbours.points[n];
    }
  }
  return nearest;
}

// The scale of levels that moved to grid points; `scale` where it is not positive.
template <int kValues>
QUANTIZED_HOST_DEVICE float FitIQ1(const IqGrid& grid, const float* x, const float* weights,
                                   const IQ1SubBlock<kValues>& sub, float scale) {
  float a = 0, b = 0;
  for (int g = 0; g < IQ1SubBlock<kValues>::kGroups; ++g, x += kIQ1Group, weights += kIQ1Group) {
    const uint32_t point = grid.DigitsOf(sub.points[g]);
    const bool down = (sub.down >> g & 1) != 0;
    const float levels[3] = {IQ1Level(0, down), IQ1Level(1, down), IQ1Level(2, down)};
    for (int j = 0; j < kIQ1Group; ++j) {
      const float q = levels[DigitOf<TernaryCube>(point, j)];
      a += weights[j] * q * x[j];
      b += weights[j] * q * q;
    }
  }
  return a > 0 && b > 0 ? a / b : scale;
}

// What the split makes of a sub-block. Nearest: NearestIQ1 in some form. Returns false where the
// reference stops the process: distances overflow, or the scale is no number.
template <int kValues, class Nearest>
QUANTIZED_HOST_DEVICE bool PlaceIQ1(const IqGrid& grid, const float* x, const float* weights,
                                    const uint8_t* order, const IQ1Split& split,
                                    const Nearest& nearest, IQ1SubBlock<kValues>& sub) {
  constexpr int kGroups = IQ1SubBlock<kValues>::kGroups;
  const bool mirrored = split.scale < 0;
  const float scale = mirrored ? -split.scale : split.scale;
  sub.down = mirrored ? split.down ^ ((1 << kGroups) - 1) : split.down;
  uint8_t digits[kValues];
  for (int r = 0; r < kValues; ++r) {
    const int sorted = (r >= split.first ? 1 : 0) + (r >= split.second ? 1 : 0);
    digits[order[r]] = static_cast<uint8_t>(mirrored ? 2 - sorted : sorted);
  }
  bool moved = false;
  for (int g = 0; g < kGroups; ++g) {
    uint32_t packed = 0;
    for (int j = 0; j < kIQ1Group; ++j) {
      packed |= static_cast<uint32_t>(digits[kIQ1Group * g + j]) << (TernaryCube::kBits * j);
    }
    int point = grid.PointOf(packed);
    if (point < 0) {
      moved = true;
      point = nearest(grid, packed, x + kIQ1Group * g, weights + kIQ1Group * g, scale,
                      (sub.down >> g & 1) != 0);
      if (point < 0) return false;
    }
    sub.points[g] = static_cast<uint16_t>(point);
  }
  sub.scale = moved ? FitIQ1<kValues>(grid, x, weights, sub, scale) : scale;
  return sub.scale >= 0;
}

// The steps of the search in their plain form; SearchSplits is the type's.
struct PlainIQ1 {
  template <int kValues>
  QUANTIZED_HOST_DEVICE static bool AllBelow(float limit, const float* x) {
    return LargestMagnitude(x, kValues) < limit;
  }
  template <int kValues>
  QUANTIZED_HOST_DEVICE static void Sort(const float* x, uint8_t* order) {
    SortIQ1<kValues>(x, order);
  }
  template <class Sums>
  QUANTIZED_HOST_DEVICE static IQ1Split Search(const Sums& sums) {
    return SearchSplits(sums);
  }
  struct Nearest {
    QUANTIZED_HOST_DEVICE int operator()(const IqGrid& grid, uint32_t digits, const float* x,
                                         const float* weights, float scale, bool down) const {
      return NearestIQ1(grid, digits, x, weights, scale, down);
    }
  };
};

// The sub-blocks of a block of values that have these weights. Sums: what SumPrefixes fills and
// Steps::Search looks at. Returns false where PlaceIQ1 does.
template <class Block, class Sums, class Steps>
QUANTIZED_HOST_DEVICE bool SearchSubBlocks(const IqGrid& grid, const float* x, const float* weights,
                                           IQ1SubBlock<Block::kSubValues>* subs) {
  constexpr int n = Block::kSubValues;
  for (int j = 0; j < Block::kSubBlocks; ++j, x += n, weights += n) {
    if (Steps::template AllBelow<n>(Block::kSmallest, x)) continue;
    uint8_t order[n];
    Steps::template Sort<n>(x, order);
    Sums sums;
    SumPrefixes(x, weights, order, sums);
    const IQ1Split split = Steps::Search(sums);
    if (!split.Found()) continue;
    if (!PlaceIQ1<n>(grid, x, weights, order, split, typename Steps::Nearest(), subs[j])) {
      return false;
    }
  }
  return true;
}

}  // namespace quantized::kernels
