// Reads the JSON that our own programs print. What is not there, or is of another kind, is as good
// as empty: whoever needs it checks.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace quantized {

using Json = nlohmann::ordered_json;

// Discarded (is_discarded) where `text` is no JSON.
Json ParsedJson(std::string_view text);

// Of the member `key` of `object`, which may be no object.
std::string TextAt(const Json& object, std::string_view key);
bool FlagAt(const Json& object, std::string_view key);
uint64_t CountAt(const Json& object, std::string_view key);
Json::array_t ListAt(const Json& object, std::string_view key);

}  // namespace quantized
