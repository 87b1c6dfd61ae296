// Values out of a GGUF file's metadata, each of the type that its key must have. Errors:
// kValidationFailed, "KEY: found …, expected …".
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/base/error.h"
#include "core/base/str_cat.h"
#include "core/gguf/metadata.h"

namespace quantized {

inline absl::Status KeyError(
    std::string_view key, std::string_view found, std::string_view expected,
    std::string_view suggestion = "Check that the GGUF file is whole, or use the original model") {
  return MakeError(Error::kValidationFailed,
                   StrCat(key, ": found ", found, ", expected ", expected), suggestion);
}

// What can still be made of a file of which no directory can be.
inline constexpr std::string_view kStaysGguf = "Convert to another level of gguf";

// The file is sound, and says what no Hugging Face directory of ours can say.
inline absl::Status NoPlaceError(std::string_view key, std::string_view found,
                                 std::string_view expected,
                                 std::string_view suggestion = "Use the original model") {
  return MakeError(Error::kUnsupportedConversion,
                   StrCat(key, ": found ", found, ", expected ", expected), suggestion);
}

// A value for a message: a scalar as it is, an array by its type and size; null is "nothing".
std::string FoundText(const gguf::Value* value);

// Nothing where the key is not there.
absl::StatusOr<std::optional<uint32_t>> FindUint32(const gguf::Metadata& metadata,
                                                   std::string_view key);
absl::StatusOr<std::optional<float>> FindFinite(const gguf::Metadata& metadata,
                                                std::string_view key);
absl::StatusOr<std::optional<bool>> FindBool(const gguf::Metadata& metadata, std::string_view key);

// Null where the key is not there; points into `metadata`.
absl::StatusOr<const std::string*> FindText(const gguf::Metadata& metadata, std::string_view key);
absl::StatusOr<const std::vector<std::string>*> FindTexts(const gguf::Metadata& metadata,
                                                          std::string_view key);
absl::StatusOr<const std::vector<float>*> FindFloats(const gguf::Metadata& metadata,
                                                     std::string_view key);
absl::StatusOr<const std::vector<int32_t>*> FindInts(const gguf::Metadata& metadata,
                                                     std::string_view key);

}  // namespace quantized
