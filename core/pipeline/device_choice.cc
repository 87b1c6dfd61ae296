#include "core/pipeline/device_choice.h"

#include <algorithm>

#include "absl/strings/numbers.h"
#include "core/base/error.h"

namespace quantized {
namespace {

constexpr std::string_view kNumbered = "cuda:";

// N of "cuda:N".
std::optional<int> NumberOf(std::string_view wanted) {
  int number = 0;
  const std::string digits(wanted.substr(std::min(wanted.size(), kNumbered.size())));
  const bool is_number =
      wanted.starts_with(kNumbered) && !digits.empty() &&
      std::all_of(digits.begin(), digits.end(), [](char c) { return c >= '0' && c <= '9'; }) &&
      absl::SimpleAtoi(digits, &number);
  return is_number ? std::optional(number) : std::nullopt;
}

}  // namespace

absl::StatusOr<DeviceWord> ParseDevice(std::string_view wanted) {
  if (wanted == "cpu") return DeviceWord{.is_cpu = true, .number = std::nullopt};
  if (wanted == "auto" || wanted.empty()) return DeviceWord();
  if (wanted == "cuda") return DeviceWord{.is_cpu = false, .number = 0};
  if (const std::optional<int> number = NumberOf(wanted)) {
    return DeviceWord{.is_cpu = false, .number = number};
  }
  return MakeError(Error::kInvalidArgument, StrCat("device '", wanted, "' is not known"),
                   "Use --device auto, cpu, cuda or cuda:N");
}

absl::Status UnusableDevice(int number, std::string_view why) {
  return MakeError(Error::kInvalidArgument,
                   StrCat("device ", kNumbered, number, " cannot be used: ", why),
                   "Use --device auto or cpu to work on the processor");
}

}  // namespace quantized
