// The value of --quant-level. Which levels exist the worker knows.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "client/commands/command.h"

namespace quantized {

// The levels of "Q4_K_M,Q6_K", as typed and in that order. kInvalidArgument, naming each of them,
// for what is not made of letters, digits and underscores, as every level is, and for what is there
// twice.
absl::StatusOr<std::vector<std::string>> ParseLevels(std::string_view text);

// Those of `format`, from the worker. Empty for what is no format, and where the worker cannot be
// asked: it is for completion, which has nobody to tell.
std::vector<std::string> AskLevels(const CommandContext& context, std::string_view format);

}  // namespace quantized
