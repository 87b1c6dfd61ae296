// The name of a GGUF output.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace quantized {

// "{model}-{LEVEL}.gguf". {model} is the last part of `model_path`; of a GGUF file its stem without
// the number of a split ("-00001-of-00003") and without the type that it holds ("-F16", "-BF16",
// "-F32"; any case). LEVEL is `level` in upper case.
std::string AutoOutputName(const std::filesystem::path& model_path, std::string_view level);

// A name that the user gave; ".gguf" is added where it is missing. kInvalidArgument for a name with
// a folder in it.
absl::StatusOr<std::string> GivenOutputName(std::string_view name);

}  // namespace quantized
