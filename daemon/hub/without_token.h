// What a server says may hold the token that it was sent: in a message of its own, or a path that
// it redirects to. So the token is taken out of all that leaves this folder to be read by people:
// the failures and messages of a program or an attempt.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace quantized {

// `text` with "[token]" for every `token`, in whatever case. An empty token is none.
std::string WithoutToken(std::string_view text, std::string_view token);

// `status` with such a message and suggestion. OK stays OK.
absl::Status WithoutToken(const absl::Status& status, std::string_view token);

}  // namespace quantized
