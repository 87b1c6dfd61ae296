// The name of an output.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace quantized {

// "{model}-{LEVEL}.gguf"; of a format that makes folders "{model}-{format}-{level}". {model} is the
// last part of `model_path`; of a GGUF file its stem without the number of a split
// ("-00001-of-00003") and without the type that it holds ("-F16", "-BF16",
// "-F32"; any case). LEVEL is `level` in upper case, {level} in lower case.
std::string AutoOutputName(const std::filesystem::path& model_path, std::string_view level,
                           std::string_view format);

// A name that the user gave; of format gguf ".gguf" is added where it is missing. kInvalidArgument
// for a name with a folder in it.
absl::StatusOr<std::string> GivenOutputName(std::string_view name, std::string_view format);

}  // namespace quantized
