#include <cstdint>
#include <cstring>

#include "kernels/bf16/bf16.h"
#include "kernels/types/finite.h"
#include "kernels/types/half.h"

namespace quantized::kernels {

void EncodeBF16Ref(const float* x, const float* /*importance*/, size_t rows, size_t cols,
                   std::byte* out) {
  for (size_t i = 0; i < rows * cols; ++i) {
    const uint16_t half = F32ToBF16(x[i]);
    std::memcpy(out + i * sizeof(half), &half, sizeof(half));
  }
}

void DecodeBF16Ref(const std::byte* in, size_t count, float* out) {
  for (size_t i = 0; i < count; ++i) {
    uint16_t half;
    std::memcpy(&half, in + i * sizeof(half), sizeof(half));
    out[i] = BF16ToF32(half);
  }
}

bool IsFiniteBF16(const std::byte* in, size_t count) {
  return AllExponentsBelowMax<uint16_t>(in, count, 0x7F80);
}

}  // namespace quantized::kernels
