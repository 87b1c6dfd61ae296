#include <cstdint>
#include <cstring>

#include "kernels/f16/f16.h"
#include "kernels/types/finite.h"
#include "kernels/types/half.h"

namespace quantized::kernels {

void EncodeF16Ref(const float* x, const float* /*importance*/, size_t rows, size_t cols,
                  std::byte* out) {
  for (size_t i = 0; i < rows * cols; ++i) {
    const uint16_t half = F32ToF16(x[i]);
    std::memcpy(out + i * sizeof(half), &half, sizeof(half));
  }
}

void DecodeF16Ref(const std::byte* in, size_t count, float* out) {
  for (size_t i = 0; i < count; ++i) {
    uint16_t half;
    std::memcpy(&half, in + i * sizeof(half), sizeof(half));
    out[i] = F16ToF32(half);
  }
}

bool IsFiniteF16(const std::byte* in, size_t count) {
  return AllExponentsBelowMax<uint16_t>(in, count, 0x7C00);
}

}  // namespace quantized::kernels
