#include "core/hf/tokenizer/byte_alphabet.h"

namespace quantized::tokenizer {
namespace {

constexpr uint32_t kLetters = 0x144;  // one behind the last letter: 68 bytes are not printable

struct Alphabet {
  std::array<uint16_t, 256> letter = {};
  std::array<int16_t, kLetters> byte = {};
};

constexpr Alphabet MakeAlphabet() {
  Alphabet alphabet;
  for (int16_t& byte : alphabet.byte) byte = -1;
  uint16_t next = 0x100;
  for (uint16_t b = 0; b < 256; ++b) {
    const bool printable = (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
    alphabet.letter[b] = printable ? b : next++;
    alphabet.byte[alphabet.letter[b]] = static_cast<int16_t>(b);
  }
  return alphabet;
}

constexpr Alphabet kAlphabet = MakeAlphabet();
static_assert(kAlphabet.letter[' '] == 0x120);
static_assert(kAlphabet.letter[0xAD] == kLetters - 1);

}  // namespace

uint32_t LetterOfByte(uint8_t byte) { return kAlphabet.letter[byte]; }

std::optional<uint8_t> ByteOfLetter(uint32_t code_point) {
  if (code_point >= kLetters || kAlphabet.byte[code_point] < 0) return std::nullopt;
  return static_cast<uint8_t>(kAlphabet.byte[code_point]);
}

}  // namespace quantized::tokenizer
