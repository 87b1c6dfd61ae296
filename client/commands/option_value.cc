#include "client/commands/option_value.h"

#include <fmt/format.h>

#include "core/base/error.h"

namespace quantized {

absl::Status BadValue(std::string_view option, std::string_view value, std::string_view needed) {
  return MakeError(Error::kInvalidArgument,
                   fmt::format("option '{}': '{}' is not {}", option, value, needed));
}

absl::StatusOr<uint32_t> CountOf(const Values& values, std::string_view option) {
  const uint64_t count = values.Count(option);
  if (count > kMaxCount) {
    return BadValue(option, values.Text(option), fmt::format("a whole number up to {}", kMaxCount));
  }
  return static_cast<uint32_t>(count);
}

}  // namespace quantized
