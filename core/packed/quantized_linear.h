// A linear layer with integer weights, as GPTQ and AWQ quantizers make it and as their formats
// hold it: docs/formats/gptq.md, docs/formats/awq.md. Weight (o, i) is (code - zero) * scale with
// scale and zero of the group of input channel i.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "core/tensor/matrix.h"

namespace quantized {

struct QuantizedLinear {
  size_t out = 0, in = 0;
  size_t group_size = 0;       // resolved: `in` where a row is one group
  int bits = 4;                // 2, 3, 4 or 8
  std::vector<uint8_t> codes;  // [out, in], below 2^bits
  Matrix scales;               // [out, groups], each exactly a float16 where it is to be packed
  std::vector<uint8_t> zeros;  // [out, groups], below 2^bits
  // [in], below groups. Empty: channel i belongs to group i / group_size.
  std::vector<uint32_t> group_of;

  size_t groups() const { return in / group_size; }
  uint8_t max_code() const { return static_cast<uint8_t>((1u << bits) - 1); }

  // The weights of rows [first_row, first_row + row_count), to `out_weights` [row_count, in]:
  // float32, rounded once, by the product.
  void Dequantize(size_t first_row, size_t row_count, float* out_weights) const;
};

// Whether a checkpoint can hold `linear`: bits, sizes that are multiples of 32 (in: of the group
// size, too), parts of the right length, groups in range. `module` goes into messages. Errors:
// kInvalidArgument, naming what was found and expected.
absl::Status CheckPackable(std::string_view module, const QuantizedLinear& linear);

}  // namespace quantized
