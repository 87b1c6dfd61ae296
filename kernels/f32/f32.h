// F32: the values themselves. Encoding and decoding copy.
#pragma once

#include <cstddef>

namespace quantized::kernels {

// The contracts of EncodeRows, DecodeValues and CheckFinite (kernels/codecs/codec.h).
// Importance has no meaning here and is not looked at.
void EncodeF32(const float* x, const float* importance, size_t rows, size_t cols, std::byte* out);
void DecodeF32(const std::byte* in, size_t count, float* out);
bool IsFiniteF32(const std::byte* in, size_t count);

}  // namespace quantized::kernels
