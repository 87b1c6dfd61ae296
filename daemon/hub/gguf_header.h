// Where the header of a GGUF file ends, which nothing in it tells: its parts are walked over, and
// not one is believed. Format: docs/formats/gguf.md.
#pragma once

#include <cstdint>
#include <string_view>

namespace quantized {

// More than the reader of GGUF files accepts is never needed.
inline constexpr uint64_t kMostGgufHeaderBytes = 64 << 20;

// How many bytes the header has at least, going by `beginning`, with which the file begins: exactly
// so many where it ends in it, else more than `beginning` has. 0 for what is no GGUF header.
uint64_t LeastGgufHeaderBytes(std::string_view beginning);

}  // namespace quantized
