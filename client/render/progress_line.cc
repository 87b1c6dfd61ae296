#include "client/render/progress_line.h"

#include <fmt/format.h>

#include <algorithm>

#include "client/render/text.h"

namespace quantized {
namespace {

constexpr int kBarCells = 20;

struct BarStyle {
  std::string_view done, left;
};
constexpr BarStyle kUtf8Bar{"━", "─"};
constexpr BarStyle kAsciiBar{"#", "."};

std::string Repeat(std::string_view cell, int count) {
  std::string text;
  for (int i = 0; i < count; ++i) text += cell;
  return text;
}

// "8/32 layers [15:23 elapsed]".
std::string Figures(const ProgressState& state) {
  const std::string elapsed = FormatElapsed(state.elapsed_seconds);
  if (state.unit != "bytes") {
    return fmt::format("{}/{} {} [{} elapsed]", state.done, state.total, Printable(state.unit),
                       elapsed);
  }
  std::string text = fmt::format("{}/{}", FormatBytes(state.done), FormatBytes(state.total));
  const std::optional<double> left = SecondsLeft(state);
  if (!left) return fmt::format("{} [{} elapsed]", text, elapsed);
  text += fmt::format(" {}/s", FormatBytes(static_cast<uint64_t>(state.per_second)));
  if (state.done >= state.total) return fmt::format("{} [{} elapsed]", text, elapsed);
  return fmt::format("{} [{} elapsed, {} left]", text, elapsed, FormatElapsed(*left));
}

}  // namespace

int PercentOf(const ProgressState& state) {
  if (state.total == 0) return 0;
  if (state.done >= state.total) return 100;
  const double share = static_cast<double>(state.done) / static_cast<double>(state.total);
  return std::min(static_cast<int>(share * 100), 99);
}

std::optional<double> SecondsLeft(const ProgressState& state) {
  if (state.per_second < 1) return std::nullopt;
  return static_cast<double>(state.total - std::min(state.done, state.total)) / state.per_second;
}

std::string ProgressLine(const ProgressState& state, bool utf8, int columns) {
  const int percent = PercentOf(state);
  const std::string head = Printable(state.label) + " ";
  const std::string tail = fmt::format(" {}% {}", percent, Figures(state));
  const int room = columns - static_cast<int>(head.size() + tail.size());
  const int cells = std::clamp(room, 0, kBarCells);
  if (cells == 0) return (head + tail.substr(1)).substr(0, std::max(columns, 0));
  const int filled = cells * percent / 100;
  const BarStyle& style = utf8 ? kUtf8Bar : kAsciiBar;
  return head + Repeat(style.done, filled) + Repeat(style.left, cells - filled) + tail;
}

}  // namespace quantized
