#include "client/render/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace quantized {
namespace {

bool IsControl(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte < 0x20 || byte == 0x7F;
}

// The C1 controls U+0080 … U+009F, in UTF-8.
bool IsC1At(std::string_view text, size_t i) {
  return static_cast<unsigned char>(text[i]) == 0xC2 && i + 1 < text.size() &&
         static_cast<unsigned char>(text[i + 1]) >= 0x80 &&
         static_cast<unsigned char>(text[i + 1]) <= 0x9F;
}

std::string WithoutControls(std::string_view text, bool keep_lines) {
  std::string clean;
  clean.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\n' || text[i] == '\t') {
      clean += keep_lines ? text[i] : ' ';
    } else if (IsC1At(text, i)) {
      ++i;
    } else if (!IsControl(text[i])) {
      clean += text[i];
    }
  }
  return clean;
}

bool IsPlainInShell(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         std::string_view("_-./:@,+=%").find(c) != std::string_view::npos;
}

}  // namespace

std::string Printable(std::string_view text) { return WithoutControls(text, false); }

std::string PrintableLines(std::string_view text) { return WithoutControls(text, true); }

std::string FormatBytes(uint64_t bytes) {
  constexpr std::array<std::string_view, 6> kUnits = {"kB", "MB", "GB", "TB", "PB", "EB"};
  if (bytes < 1000) return fmt::format("{} B", bytes);
  double value = static_cast<double>(bytes) / 1000;
  size_t unit = 0;
  // 999.95 would print as 1000.0.
  while (value >= 999.95 && unit + 1 < kUnits.size()) {
    value /= 1000;
    ++unit;
  }
  return fmt::format("{:.1f} {}", value, kUnits[unit]);
}

std::string WithThousands(uint64_t number) {
  const std::string digits = std::to_string(number);
  std::string grouped;
  for (size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) grouped.push_back(',');
    grouped.push_back(digits[i]);
  }
  return grouped;
}

std::string FormatElapsed(double seconds) {
  const auto whole = static_cast<uint64_t>(std::max(seconds, 0.0));
  const uint64_t hours = whole / 3600, minutes = whole / 60 % 60, rest = whole % 60;
  if (hours == 0) return fmt::format("{:02}:{:02}", minutes, rest);
  return fmt::format("{}:{:02}:{:02}", hours, minutes, rest);
}

std::string AlignedRows(const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths;
  for (const std::vector<std::string>& cells : rows) {
    widths.resize(cells.size());
    for (size_t i = 0; i < cells.size(); ++i) widths[i] = std::max(widths[i], cells[i].size());
  }
  std::string text;
  for (const std::vector<std::string>& cells : rows) {
    for (size_t i = 0; i + 1 < cells.size(); ++i) {
      text += fmt::format("{:<{}}", cells[i], widths[i] + 2);
    }
    text += cells.back() + "\n";
  }
  return text;
}

std::string ShellQuote(std::string_view word) {
  if (!word.empty() && std::all_of(word.begin(), word.end(), IsPlainInShell)) {
    return std::string(word);
  }
  std::string quoted(1, '\'');
  for (const char c : word) {
    if (c == '\'') quoted.append("'\\'");  // leaves the quotes, adds one, goes on inside
    quoted.push_back(c);
  }
  quoted.push_back('\'');
  return quoted;
}

}  // namespace quantized
