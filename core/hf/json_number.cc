#include "core/hf/json_number.h"

#include <charconv>
#include <cmath>
#include <limits>
#include <optional>

#include "core/base/error.h"
#include "core/base/str_cat.h"
#include "core/hf/json_file.h"

namespace quantized {
namespace {

using nlohmann::json;

absl::Status Unfit(const json& value, std::string_view field, std::string_view expected) {
  return MakeError(Error::kValidationFailed,
                   StrCat(field, ": expected ", expected, ", found ", JsonText(value)));
}

// The value where it is a whole number between the limits, which doubles hold exactly.
std::optional<int64_t> Whole(const json& value, int64_t least, int64_t most) {
  if (value.is_number_unsigned()) {
    const auto number = value.get<uint64_t>();
    if (number <= static_cast<uint64_t>(most)) return static_cast<int64_t>(number);
  } else if (value.is_number_integer()) {
    const auto number = value.get<int64_t>();
    if (number >= least && number <= most) return number;
  } else if (value.is_number_float()) {
    const auto number = value.get<double>();
    if (number >= static_cast<double>(least) && number <= static_cast<double>(most) &&
        number == std::floor(number)) {
      return static_cast<int64_t>(number);
    }
  }
  return std::nullopt;
}

}  // namespace

absl::StatusOr<uint32_t> JsonUint32(const json& value, std::string_view field) {
  const auto number = Whole(value, 0, std::numeric_limits<uint32_t>::max());
  if (!number) return Unfit(value, field, "a whole number from 0 to 4294967295");
  return static_cast<uint32_t>(*number);
}

absl::StatusOr<int32_t> JsonInt32(const json& value, std::string_view field) {
  const auto number =
      Whole(value, std::numeric_limits<int32_t>::min(), std::numeric_limits<int32_t>::max());
  if (!number) return Unfit(value, field, "a whole number of 32 bits");
  return static_cast<int32_t>(*number);
}

absl::StatusOr<float> JsonFloat(const json& value, std::string_view field) {
  if (!value.is_number()) return Unfit(value, field, "a number");
  const auto number = value.get<double>();
  // A double beyond the range of float must not be cast; the largest that still rounds to a finite
  // float lies half a step above FLT_MAX.
  constexpr double kBeyond = 0x1.ffffffp127;
  if (!(std::fabs(number) < kBeyond)) return Unfit(value, field, "a number within float's range");
  return static_cast<float>(number);
}

json ShortestJson(float value) {
  char digits[32];
  const char* const end = std::to_chars(digits, digits + sizeof(digits), value).ptr;
  double number = 0;
  std::from_chars(digits, end, number);
  return static_cast<float>(number) == value ? number : static_cast<double>(value);
}

}  // namespace quantized
