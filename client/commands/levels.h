// The value of --quant-level.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace quantized {

// The levels of "Q4_K_M,Q6_K", as typed and in that order. kInvalidArgument, naming each of them,
// for what is not made of letters, digits and underscores, as every level is, and for what is there
// twice. Which levels exist is not known here.
absl::StatusOr<std::vector<std::string>> ParseLevels(std::string_view text);

}  // namespace quantized
