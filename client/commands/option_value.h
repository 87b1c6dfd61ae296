// The values of options as numbers, and what is said of one that is wrong.
#pragma once

#include <charconv>
#include <cstdint>
#include <string_view>
#include <system_error>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/commands/command.h"

namespace quantized {

// True where all of `text` is a number that fits.
template <typename Number>
bool ParseNumber(std::string_view text, Number& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size();
}

// kInvalidArgument: "option '--seed': 'x' is not a whole number".
absl::Status BadValue(std::string_view option, std::string_view value, std::string_view needed);

// The value of a kCount option that may be at most 2^20.
inline constexpr uint64_t kMaxCount = 1 << 20;
absl::StatusOr<uint32_t> CountOf(const Values& values, std::string_view option);

}  // namespace quantized
