#include "core/tensor/shape.h"

#include <algorithm>

#include "absl/strings/str_join.h"
#include "core/base/str_cat.h"

namespace quantized {

std::optional<uint64_t> CheckedAdd(uint64_t a, uint64_t b) {
  uint64_t sum;
  if (__builtin_add_overflow(a, b, &sum)) return std::nullopt;
  return sum;
}

std::optional<uint64_t> CheckedMultiply(uint64_t a, uint64_t b) {
  uint64_t product;
  if (__builtin_mul_overflow(a, b, &product)) return std::nullopt;
  return product;
}

std::optional<uint64_t> CheckedAlignUp(uint64_t value, uint64_t alignment) {
  const auto raised = CheckedAdd(value, alignment - 1);
  if (!raised) return std::nullopt;
  return *raised & ~(alignment - 1);
}

std::optional<uint64_t> ElementCount(std::span<const uint64_t> dims) {
  // A zero anywhere makes the product zero, however large the others are.
  if (std::find(dims.begin(), dims.end(), 0u) != dims.end()) return 0;
  uint64_t count = 1;
  for (const uint64_t dim : dims) {
    const auto product = CheckedMultiply(count, dim);
    if (!product) return std::nullopt;
    count = *product;
  }
  return count;
}

std::string ShapeText(std::span<const uint64_t> dims) {
  return StrCat("[", absl::StrJoin(dims, ", "), "]");
}

}  // namespace quantized
