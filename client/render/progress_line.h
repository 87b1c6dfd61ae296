// The line that shows how far a job is, with the look that the contract fixes:
//   Quantizing ━━━━━━━━━━━━━━━━━━━━ 100% 32/32 layers [15:23 elapsed]
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace quantized {

struct ProgressState {
  std::string label;  // "Quantizing"
  uint64_t done = 0;
  uint64_t total = 0;
  std::string unit;  // "layers"
  double elapsed_seconds = 0;
};

// Of 0 … 100; 100 only when all is done.
int PercentOf(const ProgressState& state);

// The line, no wider than `columns`: a narrow terminal first shortens the bar, then cuts the end.
// `utf8` chooses between ━ and #.
std::string ProgressLine(const ProgressState& state, bool utf8, int columns);

}  // namespace quantized
