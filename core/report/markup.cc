#include "core/report/markup.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "absl/strings/str_format.h"

namespace quantized {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD
constexpr std::string_view kNoNumber = "–";

std::string ValidUtf8(std::string_view text) {
  using nlohmann::json;
  const std::string dumped = json(text).dump(-1, ' ', false, json::error_handler_t::replace);
  return json::parse(dumped).get<std::string>();
}

// U+FFFE and U+FFFF, which are UTF-8 but no characters.
bool IsNoCharacter(std::string_view bytes) {
  return bytes.starts_with("\xEF\xBF\xBE") || bytes.starts_with("\xEF\xBF\xBF");
}

}  // namespace

std::string Escaped(std::string_view text) {
  const std::string valid = ValidUtf8(text);
  std::string escaped;
  for (size_t i = 0; i < valid.size(); ++i) {
    const char c = valid[i];
    const bool is_space = c == '\t' || c == '\n' || c == '\r';
    if (IsNoCharacter(std::string_view(valid).substr(i))) {
      escaped += kReplacement;
      i += 2;
    } else if (static_cast<unsigned char>(c) < ' ' || c == '\x7f') {
      escaped += is_space ? " " : kReplacement;
    } else if (c == '&') {
      escaped += "&amp;";
    } else if (c == '<') {
      escaped += "&lt;";
    } else if (c == '>') {
      escaped += "&gt;";
    } else if (c == '"') {
      escaped += "&#34;";
    } else if (c == '\'') {
      escaped += "&#39;";
    } else {
      escaped += c;
    }
  }
  return escaped;
}

std::string Decimal(double value, int decimals) {
  return std::isfinite(value) ? absl::StrFormat("%.*f", decimals, value) : std::string(kNoNumber);
}

std::string ThreeDigits(double value) {
  if (!std::isfinite(value)) return std::string(kNoNumber);
  if (value == 0) return "0";
  std::string digits = absl::StrFormat("%#.3g", value);
  if (digits.back() == '.') digits.pop_back();
  return digits;
}

Uncertain WithError(double value, double standard_error) {
  constexpr int kFewest = 3, kMost = 7;
  const bool is_known = std::isfinite(standard_error) && standard_error > 0;
  const int first = is_known ? static_cast<int>(std::floor(std::log10(standard_error))) : -kFewest;
  const int decimals = std::clamp(1 - first, kFewest, kMost);
  return {Decimal(value, decimals), Decimal(standard_error, decimals)};
}

}  // namespace quantized
