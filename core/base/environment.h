// The environment variables, taken once at start so that tests can pass their own, and as a child
// process may have them.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace quantized {

// Variables by name.
using Environment = std::map<std::string, std::string, std::less<>>;

Environment ProcessEnvironment();

// The value of `name`; empty when it is unset. The result points into `environment`.
std::string_view Lookup(const Environment& environment, std::string_view name);

// `environment` ("NAME=value") without the variables whose names speak of secrets, such as
// HF_TOKEN: what a process that reads files of strangers gets.
std::vector<std::string> WithoutSecrets(char* const* environment);

}  // namespace quantized
