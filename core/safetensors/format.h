// Limits of the format that its reader and its writer share: docs/formats/safetensors.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace quantized::safetensors {

// The name under which the header keeps strings instead of a tensor.
inline constexpr std::string_view kMetadataKey = "__metadata__";
inline constexpr uint64_t kLengthBytes = 8;  // of the field that says how long the JSON text is
// The reference implementation's bound on the JSON text.
inline constexpr uint64_t kMaxJsonBytes = 100'000'000;
// No real tensor comes near; a bound keeps messages and shapes small.
inline constexpr size_t kMaxDims = 16;

}  // namespace quantized::safetensors
