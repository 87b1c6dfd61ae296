#include "core/packed/quantized_linear.h"

#include <algorithm>
#include <array>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/str_cat.h"
#include "core/packed/bit_stream.h"
#include "core/tensor/shape.h"
#include "core/tensor/text.h"

namespace quantized {
namespace {

absl::Status Refused(std::string_view module, std::string_view what) {
  return MakeError(Error::kInvalidArgument, StrCat(PrintableName(module), ": ", what));
}

}  // namespace

void QuantizedLinear::Dequantize(size_t first_row, size_t row_count, float* out_weights) const {
  CHECK(first_row <= out && row_count <= out - first_row);
  for (size_t r = 0; r < row_count; ++r) {
    const size_t row = first_row + r;
    const uint8_t* code = codes.data() + row * in;
    const uint8_t* zero = zeros.data() + row * groups();
    const float* scale = scales.row(row);
    float* to = out_weights + r * in;
    // The difference is exact, so the product alone rounds.
    const auto weight = [&](size_t i, size_t group) {
      return static_cast<float>(code[i] - zero[group]) * scale[group];
    };
    if (!group_of.empty()) {
      for (size_t i = 0; i < in; ++i) to[i] = weight(i, group_of[i]);
      continue;
    }
    for (size_t group = 0; group < groups(); ++group) {
      const size_t end = (group + 1) * group_size;
      for (size_t i = group * group_size; i < end; ++i) to[i] = weight(i, group);
    }
  }
}

absl::Status CheckPackable(std::string_view module, const QuantizedLinear& linear) {
  if (!IsStreamBits(linear.bits)) {
    return Refused(module, StrCat("found codes of ", linear.bits, " bits, expected 2, 3, 4 or 8"));
  }
  struct Size {
    std::string_view name;
    size_t value, multiple_of;
  };
  for (const Size& size : {Size{"input", linear.in, 32}, Size{"output", linear.out, 32},
                           Size{"input", linear.in, linear.group_size}}) {
    if (size.value == 0 || size.multiple_of == 0 || size.value % size.multiple_of != 0) {
      return Refused(module, StrCat(size.name, " size: found ", size.value,
                                    ", expected a multiple of ", size.multiple_of));
    }
  }
  struct Part {
    std::string_view name;
    size_t found, expected;
  };
  const size_t groups = linear.groups(), per_group = linear.out * groups;
  for (const Part& part : {Part{"codes", linear.codes.size(), linear.out * linear.in},
                           Part{"scales", linear.scales.values.size(), per_group},
                           Part{"rows of scales", linear.scales.rows, linear.out},
                           Part{"zeros", linear.zeros.size(), per_group},
                           Part{"groups of channels", linear.group_of.size(),
                                linear.group_of.empty() ? 0 : linear.in}}) {
    if (part.found != part.expected) {
      return Refused(module,
                     StrCat("found ", part.found, " ", part.name, ", expected ", part.expected));
    }
  }
  const auto beyond =
      std::ranges::find_if(linear.group_of, [&](uint32_t g) { return g >= groups; });
  if (beyond != linear.group_of.end()) {
    return Refused(module, StrCat("channel ", beyond - linear.group_of.begin(), " is in group ",
                                  *beyond, ", expected one below ", groups));
  }
  return absl::OkStatus();
}

}  // namespace quantized
