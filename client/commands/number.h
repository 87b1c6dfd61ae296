// A number as the value of an option.
#pragma once

#include <charconv>
#include <string_view>
#include <system_error>

namespace quantized {

// True where all of `text` is a number that fits.
template <typename Number>
bool ParseNumber(std::string_view text, Number& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size();
}

}  // namespace quantized
