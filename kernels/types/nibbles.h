// The codes of a block of 32 values as Q4_0, Q4_1, Q5_0 and Q5_1 store them. Nibbles: byte j holds
// value j in its low half and value j + 16 in its high half. With 5-bit codes, bit j of `high`
// (little-endian) is the fifth bit of value j.
#pragma once

#include <cstdint>
#include <cstring>

#include "kernels/types/host_device.h"

namespace quantized::kernels {

// Bits of a code beyond the block's are dropped.
template <class Block>
QUANTIZED_HOST_DEVICE inline void PackNibbles(const uint8_t* codes, Block& block) {
  constexpr int kHalf = Block::kValues / 2;
  static_assert(kHalf == 16);
  for (int j = 0; j < kHalf; ++j) {
    block.nibbles[j] = static_cast<uint8_t>((codes[j] & 15) | (codes[j + kHalf] & 15) << 4);
  }
  if constexpr (requires { block.high; }) {
    uint32_t high = 0;
    for (int j = 0; j < Block::kValues; ++j) high |= (codes[j] >> 4 & 1u) << j;
    std::memcpy(block.high, &high, sizeof(high));
  }
}

}  // namespace quantized::kernels
