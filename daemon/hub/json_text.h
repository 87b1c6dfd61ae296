// JSON from outside.
#pragma once

#include <nlohmann/json.hpp>
#include <string_view>

namespace quantized {

// `text` parsed; a discarded value where it is no JSON, or nests deeper than anything of the Hub
// does: a text of brackets alone would take a hundred times its size.
nlohmann::json ParseJson(std::string_view text);

}  // namespace quantized
