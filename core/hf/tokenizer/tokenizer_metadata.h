// The tokenizer part of a GGUF file's metadata, made from the tokenizer files of a Hugging Face
// directory as the reference converter makes it: vocabulary, merges, special ids, flags, chat
// template. Rules: docs/design/tokenizers.md.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "absl/status/status.h"
#include "core/gguf/metadata.h"
#include "nlohmann/json_fwd.hpp"

namespace quantized {

// What the tokenizer needs to know of the model.
struct HfTokenizerContext {
  const nlohmann::json&
      config;                // config.json as it stands in the file, an object; outlives the call
  uint64_t vocab_size = 0;   // rows of the vocabulary; 0: config.json does not say
  std::string architecture;  // GGUF name: "llama", "gemma3"
  // Pre-tokenizer name to use where the tokenizer is not recognised; empty: recognise it.
  std::string pre_tokenizer_override;
};

// Appends the tokenizer.* keys to `metadata`, in the reference converter's order. Errors:
// kModelNotFound when `directory` has no tokenizer files; kValidationFailed when a file is damaged,
// does not fit the model or is of an unknown kind, with the file, the field, found and expected.
absl::Status AppendTokenizerMetadata(const std::filesystem::path& directory,
                                     const HfTokenizerContext& context, gguf::Metadata& metadata);

}  // namespace quantized
