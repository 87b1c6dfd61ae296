// Codes of 2, 3, 4 or 8 bits as little-endian bit streams in 32-bit words: code i takes the stream
// bits [i * bits, (i + 1) * bits); stream bit k is bit k % 32 of word k / 32. A stream holds a
// multiple of 32 codes, so it ends with a word. Format: docs/formats/gptq.md.
// In memory a code is one byte. Pure functions; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace quantized {

inline constexpr int kStreamBits[] = {2, 3, 4, 8};

// Whether codes of `bits` bits can be packed.
bool IsStreamBits(int bits);

// Packs `codes`, one stream, into codes.size() * bits / 8 bytes at `out`. Every code is below
// 2^bits.
void PackStream(std::span<const uint8_t> codes, int bits, std::byte* out);
// The codes of the stream at `in`; fills `codes`.
void UnpackStream(const std::byte* in, int bits, std::span<uint8_t> codes);

// `codes` is [streams, length], row-major; row s is packed as column s of the words at `out`,
// [length * bits / 32, streams]. Every code is below 2^bits.
void PackColumns(const uint8_t* codes, size_t streams, size_t length, int bits, std::byte* out);
void UnpackColumns(const std::byte* in, size_t streams, size_t length, int bits, uint8_t* codes);

}  // namespace quantized
