// "Did you mean …?"
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace quantized {

// Insertions, deletions, replacements and swaps of neighbours that turn `a` into `b`.
size_t EditDistance(std::string_view a, std::string_view b);

// The candidate that `word` was probably meant to be: one that begins with it, or the nearest
// within a third of its length (at least 2 edits). Ties go to the first.
std::optional<std::string> Nearest(std::string_view word, std::span<const std::string> candidates);

}  // namespace quantized
