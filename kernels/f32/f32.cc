#include "kernels/f32/f32.h"

#include <cstdint>
#include <cstring>

#include "kernels/types/finite.h"

namespace quantized::kernels {

void EncodeF32(const float* x, const float* /*importance*/, size_t rows, size_t cols,
               std::byte* out) {
  std::memcpy(out, x, rows * cols * sizeof(float));
}

void DecodeF32(const std::byte* in, size_t count, float* out) {
  std::memcpy(out, in, count * sizeof(float));
}

bool IsFiniteF32(const std::byte* in, size_t count) {
  return AllExponentsBelowMax<uint32_t>(in, count, 0x7F800000);
}

}  // namespace quantized::kernels
