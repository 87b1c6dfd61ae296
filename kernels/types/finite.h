// A fast test of many float patterns for NaN and infinity: both have an exponent of all ones.
#pragma once

#include <cstddef>
#include <cstring>

namespace quantized::kernels {

// Whether none of the `count` patterns at `in` (unaligned) has all bits of `exponent` set. Works
// through chunks that fit the first-level cache, each without branches so that it vectorizes.
template <typename Bits>
bool AllExponentsBelowMax(const std::byte* in, size_t count, Bits exponent) {
  constexpr size_t kChunk = 2048;
  for (size_t begin = 0; begin < count; begin += kChunk) {
    const size_t size = count - begin < kChunk ? count - begin : kChunk;
    Bits full = 0;
    for (size_t i = 0; i < size; ++i) {
      Bits bits;
      std::memcpy(&bits, in + (begin + i) * sizeof(Bits), sizeof(Bits));
      full = static_cast<Bits>(full | ((bits & exponent) == exponent ? 1 : 0));
    }
    if (full != 0) return false;
  }
  return true;
}

}  // namespace quantized::kernels
