// The environment variables, taken once at start so that tests can pass their own.
#pragma once

#include <map>
#include <string>
#include <string_view>

namespace quantized {

using Environment = std::map<std::string, std::string, std::less<>>;

Environment ProcessEnvironment();

// The value of `name`; empty when it is unset. The result points into `environment`.
std::string_view Lookup(const Environment& environment, std::string_view name);

}  // namespace quantized
