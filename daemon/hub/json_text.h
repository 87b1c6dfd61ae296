// JSON from outside.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace quantized {

// `text` parsed; a discarded value where it is no JSON, or nests deeper than anything of the Hub
// does: a text of brackets alone would take a hundred times its size.
nlohmann::json ParseJson(std::string_view text);

// The text under `key` of an object; empty where there is none.
std::string TextOf(const nlohmann::json& object, const char* key);

}  // namespace quantized
