// What the tokenizer files of a Hugging Face directory say, as they say it: tokenizer.json, or the
// older pair vocab.json and merges.txt. Format: docs/design/tokenizers.md, "tokenizer.json".
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "core/hf/tokenizer/added_tokens.h"
#include "core/hf/tokenizer/bpe_model.h"
#include "core/hf/tokenizer/vocabulary.h"
#include "nlohmann/json.hpp"

namespace quantized::tokenizer {

struct TokenizerFile {
  std::filesystem::path path;            // of the file that has the vocabulary
  std::vector<AddedToken> added_tokens;  // in file order, with the file's ids
  // Small parts, null where absent.
  nlohmann::json normalizer;
  nlohmann::json pre_tokenizer;
  nlohmann::json post_processor;
  nlohmann::json decoder;

  std::string model_type;  // "BPE" is the only one that a Tokenizer can be made of
  BpeOptions options;

  // Empty unless asked for.
  Vocabulary vocabulary;
  std::vector<Merge> merges;
};

enum class ModelPart { kRead, kSkip };

// Reads tokenizer.json. With kSkip the vocabulary and the merges stay empty, and any model type is
// accepted. Takes about four times the file's size of memory while it runs. Errors: kModelNotFound
// when there is no such file; kValidationFailed when it is too large, no JSON, or a field has
// another type or value than it must have.
absl::StatusOr<TokenizerFile> ReadTokenizerJson(const std::filesystem::path& path, ModelPart model);

// The same from memory; `name` is what errors call the file.
absl::StatusOr<TokenizerFile> ParseTokenizerJson(std::string_view text,
                                                 const std::filesystem::path& name,
                                                 ModelPart model);

// Reads vocab.json, merges.txt and added_tokens.json (may be absent) of `directory`, with the
// normalizer and pre-tokenizer that the class `tokenizer_class` of tokenizer_config.json stands for
// (GPT-2's unless it is Qwen2's). Errors: as above.
absl::StatusOr<TokenizerFile> ReadVocabularyAndMerges(const std::filesystem::path& directory,
                                                      std::string_view tokenizer_class);

}  // namespace quantized::tokenizer
