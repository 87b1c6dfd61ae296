// The neighbours of the IQ3 grids (iq_grids.h) laid out for vectors: for each point of the cube
// that is off the grid, its neighbours in the order of the grid's list as packed digits, in whole
// chunks of eight, filled up with copies of the first. A search that takes the first of equally
// good points never chooses a copy. A point on the grid has no chunks.
//
// Built at the first call, in a few milliseconds each; any thread may call. They live forever.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/iq_grids/iq_grids.h"

namespace quantized::kernels {

struct OctalLists {
  static constexpr size_t kChunk = 8;
  static constexpr size_t kMaxChunks = 5;  // of a list
  const uint8_t* chunks;                   // by packed digits: how many
  const uint16_t* first;                   // by packed digits: the first of them
  const int16_t* points;  // chunk c begins at points + kChunk * c; aligned to 16 bytes

  const int16_t* PointsOf(uint32_t packed) const { return points + kChunk * first[packed]; }
};

const OctalLists& IQ3XXSLists();  // of IQ3XXSGrid()
const OctalLists& IQ3SLists();    // of IQ3SGrid()

}  // namespace quantized::kernels
