// Eight 6-bit scales and eight 6-bit minima in 12 bytes, with one f16 factor for each kind: the
// header of a Q4_K and of a Q5_K block. For j < 4 byte j is scale j and byte j + 4 is minimum j, in
// their low six bits; for j >= 4 byte j + 4 has the low four bits of scale j (low half) and of
// minimum j (high half), and their upper two bits are in bits 6-7 of bytes j - 4 and j.
#pragma once

#include <cstdint>

#include "kernels/search/affine.h"
#include "kernels/types/half.h"
#include "kernels/types/host_device.h"
#include "kernels/types/rounding.h"

namespace quantized::kernels {

inline constexpr int kPackedScales = 8;

struct PackedScales {
  uint16_t d;     // f16, factor of the scales
  uint16_t dmin;  // f16, factor of the minima
  uint8_t bytes[12];
};
static_assert(sizeof(PackedScales) == 16);

// Scale and minimum of sub-block `j` as decoded.
QUANTIZED_HOST_DEVICE inline AffineFit UnpackScale(const PackedScales& packed, int j) {
  const uint8_t* bytes = packed.bytes;
  const int scale = j < 4 ? bytes[j] & 63 : (bytes[j + 4] & 15) | bytes[j - 4] >> 6 << 4;
  const int min = j < 4 ? bytes[j + 4] & 63 : bytes[j + 4] >> 4 | bytes[j] >> 6 << 4;
  return {F16ToF32(packed.d) * static_cast<float>(scale),
          F16ToF32(packed.dmin) * static_cast<float>(min)};
}

// A code beyond 6 bits leaves its upper bits in those of others.
QUANTIZED_HOST_DEVICE inline void PackScales(const SubScales<kPackedScales>& scales,
                                             const SubScales<kPackedScales>& minima,
                                             PackedScales& packed) {
  for (int j = 0; j < 4; ++j) {
    const int scale = scales.codes[j], scale4 = scales.codes[j + 4];
    const int min = minima.codes[j], min4 = minima.codes[j + 4];
    packed.bytes[j] = static_cast<uint8_t>(scale | scale4 >> 4 << 6);
    packed.bytes[j + 4] = static_cast<uint8_t>(min | min4 >> 4 << 6);
    packed.bytes[j + 8] = static_cast<uint8_t>((scale4 & 15) | (min4 & 15) << 4);
  }
  packed.d = F32ToF16(scales.factor);
  packed.dmin = F32ToF16(minima.factor);
}

// The largest scale and the largest minimum become 63, the others are rounded to the nearest, with
// the f32 inverse of the unrounded factor.
QUANTIZED_HOST_DEVICE inline void EncodePackedScales(const AffineFit* fits, PackedScales& packed) {
  float max_scale = 0, max_min = 0;
  for (int j = 0; j < kPackedScales; ++j) {
    max_scale = LargerOf(max_scale, fits[j].scale);
    max_min = LargerOf(max_min, fits[j].min);
  }
  const float inverse_scale = max_scale > 0 ? 63.0f / max_scale : 0.0f;
  const float inverse_min = max_min > 0 ? 63.0f / max_min : 0.0f;
  // The narrowing to 8 bits comes before the clamp.
  const auto code = [](float value) {
    return static_cast<uint8_t>(AtMost(static_cast<uint8_t>(NearestInt(value)), 63));
  };
  SubScales<kPackedScales> scales, minima;
  for (int j = 0; j < kPackedScales; ++j) {
    scales.codes[j] = code(inverse_scale * fits[j].scale);
    minima.codes[j] = code(inverse_min * fits[j].min);
  }
  scales.factor = max_scale / 63.0f;
  minima.factor = max_min / 63.0f;
  PackScales(scales, minima, packed);
}

}  // namespace quantized::kernels
