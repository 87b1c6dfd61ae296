#include "core/base/text.h"

#include <cstddef>
#include <cstdint>

namespace quantized {
namespace {

// Bytes of the well-formed UTF-8 sequence at the front of `text` that encodes a printable
// character; 0 for none. Unicode 15, table 3-7: the second byte's range depends on the first.
size_t PrintableSequence(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t first = byte(0);
  if (first < 0x80) return (first >= 0x20 && first != 0x7f) || first == '\n' || first == '\t';
  const size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || text.size() < length) return 0;
  uint8_t low = 0x80;
  uint8_t high = 0xbf;
  if (first == 0xc2) low = 0xa0;   // C1 controls end at U+009F
  if (first == 0xe0) low = 0xa0;   // no overlong forms
  if (first == 0xed) high = 0x9f;  // no surrogates
  if (first == 0xf0) low = 0x90;
  if (first == 0xf4) high = 0x8f;  // nothing above U+10FFFF
  if (byte(1) < low || byte(1) > high) return 0;
  for (size_t i = 2; i < length; ++i) {
    if (byte(i) < 0x80 || byte(i) > 0xbf) return 0;
  }
  return length;
}

}  // namespace

std::string PrintableText(std::string_view text) {
  std::string printable;
  printable.reserve(text.size());
  while (!text.empty()) {
    const size_t length = PrintableSequence(text);
    if (length == 0) {
      printable.push_back('?');
      text.remove_prefix(1);
    } else {
      printable.append(text.substr(0, length));
      text.remove_prefix(length);
    }
  }
  return printable;
}

}  // namespace quantized
