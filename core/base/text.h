// Text from model files, file names and programs, made fit for logs, terminals and proto strings.
#pragma once

#include <string>
#include <string_view>

namespace quantized {

// `text` as valid UTF-8 without control characters (C0, DEL, C1): line feed and tab stay, every
// other byte that is one, or is not part of a well-formed sequence, becomes '?'.
std::string PrintableText(std::string_view text);

}  // namespace quantized
