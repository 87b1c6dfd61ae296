// The output formats of the contract.
#pragma once

#include <array>
#include <string_view>

namespace quantized {

inline constexpr std::array<std::string_view, 3> kOutputFormats = {"gguf", "awq", "gptq"};
inline constexpr std::string_view kGguf = "gguf";
inline constexpr std::string_view kAwq = "awq";
inline constexpr std::string_view kGptq = "gptq";

// The argument of commands that is one of them.
inline constexpr std::string_view kFormatArgument = "OUTPUT_FORMAT";

}  // namespace quantized
