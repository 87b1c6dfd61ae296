// Names and sizes, made fit for a message.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace quantized {

// `name` cut to 120 bytes plus "...", with quotes, backslashes and all but printable ASCII escaped:
// a hostile file can neither move a terminal's cursor nor flood it, and the message stays UTF-8.
std::string PrintableName(std::string_view name);

// "2.5 MB", "1.2 GB": decimal units.
std::string HumanBytes(uint64_t bytes);

}  // namespace quantized
