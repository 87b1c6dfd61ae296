// Numbers out of JSON, as GGUF keys need them. JSON writers put 10000 for 10000.0 and the other way
// round: a whole number is one whatever its notation, and nothing else is rounded to one.
// `field` is what messages call the value: "config.json: rope_theta". Errors: kValidationFailed,
// with field, found and expected.
#pragma once

#include <cstdint>
#include <string_view>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"

namespace quantized {

// A whole number from 0 to 2^32 - 1.
absl::StatusOr<uint32_t> JsonUint32(const nlohmann::json& value, std::string_view field);
// A whole number that fits 32 bits with sign.
absl::StatusOr<int32_t> JsonInt32(const nlohmann::json& value, std::string_view field);
// A number, rounded once from double to the nearest float; finite.
absl::StatusOr<float> JsonFloat(const nlohmann::json& value, std::string_view field);

// The way back: the number with the fewest digits that JsonFloat makes `value` of (1e-06 rather
// than 9.999999974752427e-07). Precondition: `value` is finite.
nlohmann::json ShortestJson(float value);

}  // namespace quantized
