// BF16: the upper halves of f32 values, two bytes each, little-endian. Conversions:
// kernels/types/half.h.
#pragma once

#include <cstddef>

namespace quantized::kernels {

// The contracts of EncodeRows, DecodeValues and CheckFinite (kernels/codecs/codec.h).
// Importance has no meaning here and is not looked at. DecodeBF16 widens with the best vector
// instructions of this processor; a NaN becomes quiet and keeps its payload.
void EncodeBF16Ref(const float* x, const float* importance, size_t rows, size_t cols,
                   std::byte* out);
void EncodeBF16Simd(const float* x, const float* importance, size_t rows, size_t cols,
                    std::byte* out);
void DecodeBF16Ref(const std::byte* in, size_t count, float* out);
void DecodeBF16Simd(const std::byte* in, size_t count, float* out);
bool IsFiniteBF16(const std::byte* in, size_t count);

}  // namespace quantized::kernels
