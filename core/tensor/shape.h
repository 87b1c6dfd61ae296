// Sizes of tensors from dimensions that come out of a file: nothing wraps around.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

namespace quantized {

// Null where the result does not fit 64 bits.
std::optional<uint64_t> CheckedAdd(uint64_t a, uint64_t b);
std::optional<uint64_t> CheckedMultiply(uint64_t a, uint64_t b);

// The least multiple of `alignment` (a power of two) that is not below `value`.
std::optional<uint64_t> CheckedAlignUp(uint64_t value, uint64_t alignment);

// The product of the dimensions; 1 for none, 0 where any is 0.
std::optional<uint64_t> ElementCount(std::span<const uint64_t> dims);

// "[49152, 576]", for messages.
std::string ShapeText(std::span<const uint64_t> dims);

}  // namespace quantized
