// The search of the IQ2 and IQ3 types: a scale and grid points for the magnitudes of a sub-block.
//
// Groups of 8 or 4 magnitudes are points of a grid (iq_grids.h): a digit l stands for (2 l + 1)
// scale. Candidate k = -n … n has the inverse scale s_k = (2 L - 1 + k step) / peak, where L is the
// number of levels and `peak` the largest magnitude (IQ2_XXS: 3 times the factor of an unsigned
// search, kernels/search/unsigned.h). Each group gets the digits clamp(round((s x - 1) / 2)); if
// they are not on the grid, the neighbour with the smallest sum of (r (q / s - x)) (q / s - x),
// r = sqrt(weight), the first of equals. With A = sum (w x) q and B = sum (w q) q the candidate
// is taken where A^2 / B grows; its scale is A / B. At last the groups (Block::kRefit says which)
// are placed again with that scale, and the scale is fitted to them.
// Sums run in the order of the values, each product and sum rounded to f32.
//
// A Block says: kValues, kSubValues, Cube, kCandidates (n), kStep, kRefit, kUnsignedStart and, if
// that is false, kSmallest, below which a sub-block counts as empty.
#pragma once

#include <cfloat>
#include <cstdint>
#include <limits>

#include "kernels/iq_grids/iq_grids.h"
#include "kernels/search/unsigned.h"
#include "kernels/types/host_device.h"
#include "kernels/types/rounding.h"

namespace quantized::kernels {

// Which groups are placed again once the best candidate is known.
enum class Refit : uint8_t {
  kAll,
  kOffGrid,         // those whose digits were not on the grid
  kAllIfAnyOffGrid  // all or none; also where no candidate was taken
};

// A block between its values and its bytes.
template <class Block>
struct GridBlock {
  static constexpr int kSubBlocks = Block::kValues / Block::kSubValues;
  static constexpr int kGroupsOfSub = Block::kSubValues / Block::Cube::kDigits;

  float x[Block::kValues];        // magnitudes
  float weights[Block::kValues];  // >= 0
  float roots[Block::kValues];    // of the weights
  uint8_t signs[Block::kValues / 8];
  float scales[kSubBlocks];  // NaN: there is none, the reference would stop
  bool empty[kSubBlocks];    // too small to be searched: scale, points and signs are 0
  uint16_t points[Block::kValues / Block::Cube::kDigits];
};

// Where the search of a sub-block begins. An empty one has the peak 0.
struct GridStart {
  float peak, scale;
};

template <class Block>
QUANTIZED_HOST_DEVICE GridStart StartOf(const float* x, const float* weights) {
  if constexpr (Block::kUnsignedStart) {
    uint8_t codes[Block::kSubValues];
    const float scale =
        SearchUnsigned<Block::kSubValues, Block::Cube::kLevels + 1>(x, weights, codes);
    const float peak = scale * static_cast<float>(Block::Cube::kLevels);
    return peak <= 0 ? GridStart{0, 0} : GridStart{peak, scale};
  } else {
    float max = x[0];
    for (int i = 1; i < Block::kSubValues; ++i) max = max > x[i] ? max : x[i];
    if (max < Block::kSmallest || max == 0) return {0, 0};
    return {max, max / static_cast<float>(2 * Block::Cube::kLevels - 1)};
  }
}

// The inverse scale of candidate k.
template <class Block>
QUANTIZED_HOST_DEVICE float CandidateInverse(int k, float peak) {
  return (static_cast<float>(2 * Block::Cube::kLevels - 1) + static_cast<float>(k) * Block::kStep) /
         peak;
}

// The packed digits of one group.
template <class Cube>
QUANTIZED_HOST_DEVICE uint32_t RoundToDigits(const float* x, float inverse) {
  uint32_t packed = 0;
  for (int i = 0; i < Cube::kDigits; ++i) {
    const int digit = Clamp(NearestInt(0.5f * (inverse * x[i] - 1)), 0, Cube::kLevels - 1);
    packed |= static_cast<uint32_t>(digit) << (Cube::kBits * i);
  }
  return packed;
}

// The best neighbour of `packed`, which is off the grid; -1 where no distance is a finite number.
template <class Cube>
QUANTIZED_HOST_DEVICE int NearestPoint(const IqGrid& grid, uint32_t packed, const float* x,
                                       const float* roots, float scale) {
  const IqNeighbours neighbours = grid.NeighboursOf(packed);
  float best = FLT_MAX;
  int point = -1;
  for (int n = 0; n < neighbours.count; ++n) {
    const uint32_t digits = grid.DigitsOf(neighbours.points[n]);
    float distance = 0;
    for (int i = 0; i < Cube::kDigits; ++i) {
      const float level = static_cast<float>(2 * DigitOf<Cube>(digits, i) + 1);
      const float difference = scale * level - x[i];
      distance += roots[i] * difference * difference;
    }
    if (distance < best) {
      best = distance;
      point = neighbours.points[n];
    }
  }
  return point;
}

struct GridFit {
  float a, b;
};

template <class Block>
QUANTIZED_HOST_DEVICE GridFit FitOf(const IqGrid& grid, const float* x, const float* weights,
                                    const uint16_t* points) {
  using Cube = typename Block::Cube;
  GridFit fit = {0, 0};
  for (int i = 0; i < Block::kSubValues; ++i) {
    const uint32_t digits = grid.DigitsOf(points[i / Cube::kDigits]);
    const float q = static_cast<float>(2 * DigitOf<Cube>(digits, i % Cube::kDigits) + 1);
    fit.a += weights[i] * x[i] * q;
    fit.b += weights[i] * q * q;
  }
  return fit;
}

// Returns the scale, which may be negative, and the point of each group; NaN where a group finds no
// point.
template <class Block>
QUANTIZED_HOST_DEVICE float SearchSubBlock(const IqGrid& grid, GridStart start, const float* x,
                                           const float* weights, const float* roots,
                                           uint16_t* points) {
  using Cube = typename Block::Cube;
  constexpr int kDigits = Cube::kDigits, kGroups = Block::kSubValues / kDigits;
  constexpr float kNone = std::numeric_limits<float>::quiet_NaN();
  bool off_grid[kGroups], trial_off_grid[kGroups];
  uint16_t trial[kGroups];
  // False where the group finds no point.
  const auto place = [&](int g, float inverse, float scale) {
    const uint32_t packed = RoundToDigits<Cube>(x + kDigits * g, inverse);
    int point = grid.PointOf(packed);
    trial_off_grid[g] = point < 0;
    if (point < 0) {
      point = NearestPoint<Cube>(grid, packed, x + kDigits * g, roots + kDigits * g, scale);
    }
    trial[g] = static_cast<uint16_t>(point < 0 ? 0 : point);
    return point >= 0;
  };

  float scale = start.scale, best = 0;
  for (int g = 0; g < kGroups; ++g) {
    points[g] = 0;
    off_grid[g] = Block::kRefit == Refit::kAllIfAnyOffGrid;
  }
  for (int k = -Block::kCandidates; k <= Block::kCandidates; ++k) {
    const float inverse = CandidateInverse<Block>(k, start.peak);
    for (int g = 0; g < kGroups; ++g) {
      if (!place(g, inverse, 1 / inverse)) return kNone;
    }
    const GridFit fit = FitOf<Block>(grid, x, weights, trial);
    if (!(fit.b > 0 && fit.a * fit.a > best * fit.b)) continue;
    scale = fit.a / fit.b;
    best = scale * fit.a;
    for (int g = 0; g < kGroups; ++g) {
      points[g] = trial[g];
      off_grid[g] = trial_off_grid[g];
    }
  }

  bool any_off_grid = false;
  for (int g = 0; g < kGroups; ++g) any_off_grid = any_off_grid || off_grid[g];
  if (!(Block::kRefit == Refit::kAll || any_off_grid) || !(scale > 0)) return scale;
  for (int g = 0; g < kGroups; ++g) {
    if (Block::kRefit == Refit::kOffGrid && !off_grid[g]) continue;
    if (!place(g, 1 / scale, scale)) return kNone;
    points[g] = trial[g];
  }
  const GridFit fit = FitOf<Block>(grid, x, weights, points);
  return fit.b > 0 ? fit.a / fit.b : scale;
}

template <class Block>
QUANTIZED_HOST_DEVICE void MakeEmpty(int j, GridBlock<Block>& block) {
  constexpr int kSigns = Block::kSubValues / 8, kGroups = GridBlock<Block>::kGroupsOfSub;
  block.empty[j] = true;
  block.scales[j] = 0;
  for (int g = 0; g < kSigns; ++g) block.signs[kSigns * j + g] = 0;
  for (int g = 0; g < kGroups; ++g) block.points[kGroups * j + g] = 0;
}

// Scales and points of a block whose other fields are given. Empty sub-blocks lose their signs.
template <class Block>
QUANTIZED_HOST_DEVICE void SearchGrid(const IqGrid& grid, GridBlock<Block>& block) {
  constexpr int kSubValues = Block::kSubValues, kGroups = GridBlock<Block>::kGroupsOfSub;
  for (int j = 0; j < GridBlock<Block>::kSubBlocks; ++j) {
    const float* x = block.x + kSubValues * j;
    const float* weights = block.weights + kSubValues * j;
    const GridStart start = StartOf<Block>(x, weights);
    if (start.peak == 0) {
      MakeEmpty(j, block);
      continue;
    }
    block.empty[j] = false;
    block.scales[j] = SearchSubBlock<Block>(grid, start, x, weights, block.roots + kSubValues * j,
                                            block.points + kGroups * j);
  }
}

}  // namespace quantized::kernels
