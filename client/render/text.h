// Small pieces of text that people read.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace quantized {

// `text` without the control characters (C0, DEL, C1) that could steer a terminal; tabs and line
// ends become spaces. For text that came from a model, a log or a daemon.
std::string Printable(std::string_view text);

// The same for several lines: line ends and tabs stay.
std::string PrintableLines(std::string_view text);

// Decimal units, one decimal: "812 B", "3.9 GB" (3.9·10^9).
std::string FormatBytes(uint64_t bytes);

// "6,738,415,616".
std::string WithThousands(uint64_t number);

// "15:23", from an hour on "1:02:03".
std::string FormatElapsed(double seconds);

// Rows of cells, all of the same number, as lines of aligned columns; the last one is as wide as it
// is.
std::string AlignedRows(const std::vector<std::vector<std::string>>& rows);

// `word` as a POSIX shell takes it for one word.
std::string ShellQuote(std::string_view word);

}  // namespace quantized
