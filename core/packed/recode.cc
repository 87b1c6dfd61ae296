#include "core/packed/recode.h"

#include <algorithm>
#include <cstdint>

#include "core/base/check.h"

namespace quantized {
namespace {

uint8_t Middle(int bits) { return static_cast<uint8_t>(1u << (bits - 1)); }

}  // namespace

bool CanBeCentered(const QuantizedLinear& grid, int bits) {
  const auto [least, greatest] = std::ranges::minmax(grid.zeros);
  return greatest <= Middle(bits) && grid.max_code() - least < (1 << bits) - Middle(bits);
}

QuantizedLinear Centered(QuantizedLinear linear, int bits) {
  CHECK(CanBeCentered(linear, bits));
  const uint8_t middle = Middle(bits);
  for (size_t row = 0; row < linear.out; ++row) {
    const uint8_t* zeros = linear.zeros.data() + row * linear.groups();
    uint8_t* codes = linear.codes.data() + row * linear.in;
    for (size_t i = 0; i < linear.in; ++i) {
      const size_t group = linear.group_of.empty() ? i / linear.group_size : linear.group_of[i];
      codes[i] = static_cast<uint8_t>(codes[i] + middle - zeros[group]);
    }
  }
  std::ranges::fill(linear.zeros, middle);
  linear.bits = bits;
  return linear;
}

}  // namespace quantized
