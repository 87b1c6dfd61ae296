// The front matter of a README.md: the YAML between two "---" lines at its very start. Reads the
// part of YAML 1.1 that model cards use: block and flow sequences and mappings, plain and quoted
// scalars over one or more lines, literal and folded blocks, comments. A card is no reason to
// refuse a model, so what is outside that part (anchors, tags, complex keys, bad indentation, more
// than 32 levels) is left out, top-level entry by entry, and reading never fails.
#pragma once

#include <string_view>

#include "nlohmann/json.hpp"

namespace quantized {

// An object; empty when there is no front matter or it never ends. Scalars are strings, as written
// (1.0 too); only an absent, `null` or `~` value is null, and only the plain value of a block
// mapping's entry can be a truth value (`language: no`; in a list, "no" is Norwegian). Of two entries
// with one name the last counts.
nlohmann::json ParseFrontMatter(std::string_view readme);

}  // namespace quantized
