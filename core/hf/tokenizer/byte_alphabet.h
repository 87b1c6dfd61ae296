// The alphabet of byte-level BPE: each of the 256 bytes stands as one printable character, so that
// any text is a word over 256 letters and no token holds a blank or a control character. The
// printable Latin-1 bytes stand for themselves, the others for U+0100, U+0101, … in order of the
// byte (GPT-2's encoder).
#pragma once

#include <array>
#include <cstdint>
#include <optional>

namespace quantized::tokenizer {

// The code point that stands for `byte`: below U+0144.
uint32_t LetterOfByte(uint8_t byte);

// The byte that `code_point` stands for, if it belongs to the alphabet.
std::optional<uint8_t> ByteOfLetter(uint32_t code_point);

}  // namespace quantized::tokenizer
