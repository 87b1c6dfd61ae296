// UTF-8 and the Unicode properties that tokenizers speak of. Properties and normalisation come from
// utf8proc (Unicode 15); white space is the property White_Space.
// Code points are uint32_t. All functions are pure and thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace quantized::tokenizer {

// Offset of the first byte that does not belong to valid UTF-8 (no surrogates, no overlong forms,
// nothing above U+10FFFF), if any.
std::optional<size_t> FindInvalidUtf8(std::string_view text);

// `bytes` with every maximal invalid part replaced by U+FFFD.
std::string ReplaceInvalidUtf8(std::string_view bytes);

// The code point that starts at `*offset` of valid UTF-8; moves `*offset` behind it. Precondition:
// *offset < text.size().
uint32_t NextCodePoint(std::string_view text, size_t* offset);

// The code point that ends at `end` of valid UTF-8. Precondition: 0 < end <= text.size().
uint32_t LastCodePoint(std::string_view text, size_t end);

void AppendUtf8(uint32_t code_point, std::string* out);

bool IsWhiteSpace(uint32_t code_point);
bool IsNumeric(uint32_t code_point);      // Nd, Nl, No
bool IsPunctuation(uint32_t code_point);  // P*, and ASCII punctuation that is S*
bool IsWordPart(uint32_t code_point);     // letters, marks, decimal digits, connectors
bool IsMark(uint32_t code_point);         // Mn, Mc, Me

// Full lower case of each code point by itself (no context: final sigma stays medial).
std::string Lowercase(std::string_view text);

enum class NormalForm { kNfc, kNfd, kNfkc, kNfkd };
// nullopt when utf8proc refuses (out of memory, or more than 2^31 code points).
std::optional<std::string> Normalize(std::string_view text, NormalForm form);

}  // namespace quantized::tokenizer
