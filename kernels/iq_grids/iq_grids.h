// The grids of the IQ1, IQ2 and IQ3 types: the few points of a cube that a group of values may
// take, and for each other point of the cube its nearest ones.
//
// A point is given by its digits, packed into 16 bits from the low bits up: 8 digits 0 … 2 of 2
// bits (IQ1, IQ2), or 4 digits 0 … 7 of 3 bits (IQ3). Points are numbered in the order of their
// packed digits; blocks hold these numbers.
//
// The list of a point off the grid has the grid points at its k smallest distinct distances,
// ordered by distance and then by number: k = 3 for IQ1 and IQ3_S, 2 for IQ2_XXS, IQ2_XS and
// IQ3_XXS, 1 for IQ2_S. A search takes the first of equally good ones, so the order is part of
// the result.
//
// Grids are built at the first call, in a few milliseconds each; any thread may call. They live
// forever. IqGrid is plain pointers into plain arrays, so that a device can have a copy.
#pragma once

#include <cstdint>

#include "kernels/types/host_device.h"

namespace quantized::kernels {

// 8 coordinates with 3 levels, and 4 coordinates with 8 levels.
struct TernaryCube {
  static constexpr int kDigits = 8;
  static constexpr int kBits = 2;
  static constexpr int kLevels = 3;
};
struct OctalCube {
  static constexpr int kDigits = 4;
  static constexpr int kBits = 3;
  static constexpr int kLevels = 8;
};

template <class Cube>
QUANTIZED_HOST_DEVICE constexpr int DigitOf(uint32_t digits, int i) {
  return static_cast<int>(digits >> (Cube::kBits * i) & ((1U << Cube::kBits) - 1));
}

struct IqNeighbours {
  const uint16_t* points;
  int count;
};

struct IqGrid {
  const uint16_t* digits;  // [size], packed
  const int* map;          // [map_size], by packed digits: the point, or -1 - where its list begins
  const uint16_t* lists;   // [lists_size], per list: a count, then so many points
  int size, map_size, lists_size;

  // The point with these digits, or a negative number where the grid has none.
  QUANTIZED_HOST_DEVICE int PointOf(uint32_t packed) const { return map[packed]; }
  QUANTIZED_HOST_DEVICE uint32_t DigitsOf(uint32_t point) const { return digits[point]; }
  // Of digits without a point.
  QUANTIZED_HOST_DEVICE IqNeighbours NeighboursOf(uint32_t packed) const {
    const uint16_t* list = lists - map[packed] - 1;
    return {list + 1, list[0]};
  }
};

const IqGrid& IQ1Grid();     // 2048 points, TernaryCube
const IqGrid& IQ2XXSGrid();  // 256 points, TernaryCube
const IqGrid& IQ2XSGrid();   // 512 points, TernaryCube
const IqGrid& IQ2SGrid();    // 1024 points, TernaryCube
const IqGrid& IQ3XXSGrid();  // 256 points, OctalCube
const IqGrid& IQ3SGrid();    // 512 points, OctalCube

}  // namespace quantized::kernels
