// The numbers of `general.file_type`, which tell the level a GGUF file was made with.
#pragma once

#include <cstdint>
#include <string_view>

namespace quantized::gguf {

// "Q4_K_M" for 15; empty for a number that no row has. All numbers of the format are known here,
// also those of levels that this version does not make.
std::string_view FileTypeName(uint64_t file_type);

}  // namespace quantized::gguf
