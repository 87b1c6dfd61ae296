// The name under which GGUF knows a way of splitting text (`tokenizer.ggml.pre`). The reference
// converter recognises a BPE tokenizer by the SHA-256 of the ids that it makes of one text; so do
// we, and where the hash is unknown we compare the normalizer and pre-tokenizer with those that
// known names stand for. Tables: docs/design/tokenizers.md, "The name of the pre-tokenizer".
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "core/hf/tokenizer/tokenizer.h"
#include "nlohmann/json.hpp"

namespace quantized::tokenizer {

// What of a TokenizerFile decides the structure.
struct PreTokenizerStructure {
  nlohmann::json pre_tokenizer;
  nlohmann::json normalizer;
  bool ignore_merges = false;
};

// SHA-256 of the ids of the check text, special tokens included, written as a Python list: 64
// lower-case hexadecimal digits. Errors: those of Encode.
absl::StatusOr<std::string> PreTokenizerHash(const Tokenizer& tokenizer);

// The name that `hash` stands for; empty when it is not known. Points to static storage.
std::string_view PreTokenizerNameOfHash(std::string_view hash);

// The name that a tokenizer of this structure can have; empty when there is none. Members without
// influence on ids (trim_offsets) and explicit defaults do not count. Points to static storage.
std::string_view PreTokenizerNameOfStructure(const PreTokenizerStructure& structure);

// The structure that `name` stands for; nothing where none is known. Beside the names above those
// are known that mean the same as one of them.
std::optional<PreTokenizerStructure> PreTokenizerStructureOfName(std::string_view name);

// The name for `tokenizer`, made from a file of this structure: `override_name` unless it is empty,
// else by hash, else by structure. Errors: kValidationFailed when all fail, naming `file`, the hash
// and --pre; kInvalidArgument for an override that cannot be a name.
absl::StatusOr<std::string> PreTokenizerName(const Tokenizer& tokenizer,
                                             const PreTokenizerStructure& structure,
                                             std::string_view override_name, std::string_view file);

}  // namespace quantized::tokenizer
