// For tests and benchmarks: rows of values that encoders meet, and rows that are meant to hurt
// them. The same seed gives the same values everywhere.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace quantized::kernels::testing {

struct RowKind {
  std::string_view name;
  void (*fill)(std::span<float> row, uint64_t seed);
};

// Finite values only, |x| <= 1e30.
std::span<const RowKind> AllRowKinds();
const RowKind& RowKindNamed(std::string_view name);

// Importance weights: finite, >= 0.
std::span<const RowKind> AllImportanceKinds();

}  // namespace quantized::kernels::testing
