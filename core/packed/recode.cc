#include "core/packed/recode.h"

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "core/base/check.h"

namespace quantized {
namespace {

uint8_t Middle(int bits) { return static_cast<uint8_t>(1u << (bits - 1)); }

double SquaredError(const float* weights, const float* made, size_t count) {
  double sum = 0;
  for (size_t i = 0; i < count; ++i) {
    const double difference = double{made[i]} - weights[i];
    sum += difference * difference;
  }
  return sum;
}

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

bool HasGroupsOf(const QuantizedLinear& grid, size_t group_size) {
  if (!grid.group_of.empty() || group_size % grid.group_size != 0 || grid.in % group_size != 0) {
    return false;
  }
  const size_t joined = group_size / grid.group_size;
  for (size_t i = 0; i < grid.zeros.size(); ++i) {
    const size_t first = i / joined * joined;  // rows are a multiple of it
    if (grid.scales.values[i] != grid.scales.values[first] || grid.zeros[i] != grid.zeros[first]) {
      return false;
    }
  }
  return true;
}

QuantizedLinear Regrouped(QuantizedLinear linear, size_t group_size) {
  CHECK(HasGroupsOf(linear, group_size));
  const size_t joined = group_size / linear.group_size;
  Matrix scales(linear.out, linear.in / group_size);
  std::vector<uint8_t> zeros(scales.values.size());
  for (size_t i = 0; i < zeros.size(); ++i) {
    scales.values[i] = linear.scales.values[i * joined];
    zeros[i] = linear.zeros[i * joined];
  }
  linear.scales = std::move(scales);
  linear.zeros = std::move(zeros);
  linear.group_size = group_size;
  return linear;
}

QuantizedLinear CloserGroups(const Matrix& weights, QuantizedLinear linear,
                             const QuantizedLinear& other) {
  CHECK(weights.rows == linear.out && weights.cols == linear.in);
  CHECK(other.out == linear.out && other.in == linear.in && other.bits == linear.bits);
  CHECK(other.group_size == linear.group_size);
  CHECK(linear.group_of.empty() && other.group_of.empty());
  const size_t size = linear.group_size;
  std::vector<float> made(linear.in), others(linear.in);
  for (size_t row = 0; row < linear.out; ++row) {
    linear.Dequantize(row, 1, made.data());
    other.Dequantize(row, 1, others.data());
    for (size_t first = 0; first < linear.in; first += size) {
      const float* wanted = weights.row(row) + first;
      if (SquaredError(wanted, others.data() + first, size) >=
          SquaredError(wanted, made.data() + first, size)) {
        continue;
      }
      const size_t group = row * linear.groups() + first / size;
      linear.scales.values[group] = other.scales.values[group];
      linear.zeros[group] = other.zeros[group];
      std::copy_n(&other.codes[row * linear.in + first], size,
                  &linear.codes[row * linear.in + first]);
    }
  }
  return linear;
}

}  // namespace quantized
