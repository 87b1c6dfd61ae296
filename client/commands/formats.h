// The output formats of the contract.
#pragma once

#include <array>
#include <string_view>

namespace quantized {

inline constexpr std::array<std::string_view, 3> kOutputFormats = {"gguf", "awq", "gptq"};
inline constexpr std::string_view kGguf = "gguf";

}  // namespace quantized
