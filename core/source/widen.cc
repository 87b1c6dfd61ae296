#include "core/source/widen.h"

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

#include "core/base/check.h"
#include "kernels/codecs/codec.h"

namespace quantized {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

template <typename T>
void Cast(const std::byte* in, size_t count, float* out) {
  for (size_t i = 0; i < count; ++i) {
    T value;
    std::memcpy(&value, in + i * sizeof(T), sizeof(T));
    out[i] = static_cast<float>(value);
  }
}

// Sign, `exponent_bits` with bias 2^(exponent_bits - 1) - 1, the rest mantissa; without the codes
// that stand for no number.
float SmallFloat(uint8_t code, int exponent_bits) {
  const int mantissa_bits = 7 - exponent_bits;
  const int bias = (1 << (exponent_bits - 1)) - 1;
  const int exponent = (code & 0x7F) >> mantissa_bits;
  const int mantissa = code & ((1 << mantissa_bits) - 1);
  const int significand = exponent == 0 ? mantissa : mantissa | 1 << mantissa_bits;
  const float magnitude = std::ldexp(static_cast<float>(significand),
                                     (exponent == 0 ? 1 : exponent) - bias - mantissa_bits);
  return (code & 0x80) != 0 ? -magnitude : magnitude;
}

float E4M3(uint8_t code) { return (code & 0x7F) == 0x7F ? kNan : SmallFloat(code, 4); }

float E5M2(uint8_t code) {
  if ((code & 0x7C) != 0x7C) return SmallFloat(code, 5);
  if ((code & 3) != 0) return kNan;
  const float infinity = std::numeric_limits<float>::infinity();
  return (code & 0x80) != 0 ? -infinity : infinity;
}

float E8M0(uint8_t code) { return code == 0xFF ? kNan : std::ldexp(1.0f, code - 127); }

void Each(float (*decode)(uint8_t), const std::byte* in, size_t count, float* out) {
  for (size_t i = 0; i < count; ++i) out[i] = decode(std::to_integer<uint8_t>(in[i]));
}

void Decode(kernels::TypeId type, const std::byte* in, size_t count, float* out) {
  kernels::FindCodec(type)->decode(in, count, out);
}

}  // namespace

void WidenToF32(DType dtype, const std::byte* in, size_t count, float* out) {
  switch (dtype) {
    case DType::kF64:
      return Cast<double>(in, count, out);
    case DType::kF32:
      return Decode(kernels::TypeId::kF32, in, count, out);
    case DType::kF16:
      return Decode(kernels::TypeId::kF16, in, count, out);
    case DType::kBF16:
      return Decode(kernels::TypeId::kBF16, in, count, out);
    case DType::kI64:
      return Cast<int64_t>(in, count, out);
    case DType::kI32:
      return Cast<int32_t>(in, count, out);
    case DType::kI16:
      return Cast<int16_t>(in, count, out);
    case DType::kU8:
      return Cast<uint8_t>(in, count, out);
    case DType::kI8:
      return Cast<int8_t>(in, count, out);
    case DType::kBool:
      return Each([](uint8_t code) { return code == 0 ? 0.0f : 1.0f; }, in, count, out);
    case DType::kF8E4M3:
      return Each(E4M3, in, count, out);
    case DType::kF8E5M2:
      return Each(E5M2, in, count, out);
    case DType::kF8E8M0:
      return Each(E8M0, in, count, out);
  }
  CHECK(!"a DType without a case");
}

}  // namespace quantized
