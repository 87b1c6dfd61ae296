// The line that shows how far a job is, with the look that the contract fixes:
//   Quantizing ━━━━━━━━━━━━━━━━━━━━ 100% 32/32 layers [15:23 elapsed]
// and for what counts bytes:
//   Downloading ━━━━━─────────────── 25% 3.4 GB/13.5 GB 61.2 MB/s [00:56 elapsed, 02:45 left]
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace quantized {

struct ProgressState {
  std::string label;  // "Quantizing"
  uint64_t done = 0;
  uint64_t total = 0;
  std::string unit;  // "layers", "bytes"
  double elapsed_seconds = 0;
  double per_second = 0;  // of bytes: how many come; 0: not known
};

// Of 0 … 100; 100 only when all is done.
int PercentOf(const ProgressState& state);

// Until all is done; none where the rate is not known.
std::optional<double> SecondsLeft(const ProgressState& state);

// The line, no wider than `columns`: a narrow terminal first shortens the bar, then cuts the end.
// `utf8` chooses between ━ and #.
std::string ProgressLine(const ProgressState& state, bool utf8, int columns);

}  // namespace quantized
