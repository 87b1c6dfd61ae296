// A tokenizer as Hugging Face tokenizers (0.22) makes one of a tokenizer.json with a BPE model: the
// same ids for every text. Byte-level vocabularies (GPT-2, Llama 3, Qwen) and SentencePiece ones
// with byte fallback (Llama 2, Gemma) alike. Design and known limits: docs/design/tokenizers.md.
// Immutable and thread-safe. Memory: about 100 bytes for each token and 30 for each merge.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "core/hf/tokenizer/added_tokens.h"
#include "core/hf/tokenizer/bpe_model.h"
#include "core/hf/tokenizer/decoder.h"
#include "core/hf/tokenizer/normalizer.h"
#include "core/hf/tokenizer/post_processor.h"
#include "core/hf/tokenizer/pre_tokenizer.h"
#include "core/hf/tokenizer/tokenizer_file.h"

namespace quantized::tokenizer {

class Tokenizer {
 public:
  // Errors: kValidationFailed when the file uses what we do not know, or contradicts itself.
  static absl::StatusOr<std::unique_ptr<const Tokenizer>> Create(TokenizerFile file);

  // The tokenizer of a model directory, as transformers' AutoTokenizer would load it:
  // tokenizer.json, or vocab.json and merges.txt, or tokenizer.model, with what
  // tokenizer_config.json changes.
  // `model_type` is that of config.json; it matters only where tokenizer_config.json names no
  // class. Errors: kModelNotFound when there are no such files, kValidationFailed as above.
  static absl::StatusOr<std::unique_ptr<const Tokenizer>> FromDirectory(
      const std::filesystem::path& directory, std::string_view model_type);

  // Ids of `text`; with `add_special` those that the post-processor puts around it as well. Errors:
  // kInvalidArgument when `text` is not UTF-8; kValidationFailed when a regular expression of the
  // file needs more work than we grant.
  absl::StatusOr<std::vector<uint32_t>> Encode(std::string_view text, bool add_special) const;

  // The text of `ids`; ids without a token are left out, special tokens on request. What is not
  // UTF-8 becomes U+FFFD. Errors: kValidationFailed as in Encode.
  absl::StatusOr<std::string> Decode(std::span<const uint32_t> ids, bool skip_special) const;

  // One more than the largest id.
  uint32_t end_id() const { return end_id_; }
  // Tokens of the model, without added ones.
  const Vocabulary& vocabulary() const { return model_.vocabulary(); }
  // The text of a token, as the files have it; points into *this. nullopt: no such token.
  std::optional<std::string_view> TextOf(uint32_t id) const;
  // Null when the token is not an added one; points into *this.
  const AddedToken* AddedTokenOf(uint32_t id) const;

 private:
  explicit Tokenizer(BpeModel model) : model_(std::move(model)), post_processor_({}, {}) {}

  BpeModel model_;
  Normalizer normalizer_;
  PreTokenizer pre_tokenizer_;
  PostProcessor post_processor_;
  Decoder decoder_;
  absl::flat_hash_map<uint32_t, AddedToken> added_;  // by id
  AddedTokenMatcher in_text_;
  AddedTokenMatcher in_normalized_;
  uint32_t end_id_ = 0;
};

// `tokens` as Hugging Face adds them to a vocabulary, in this order: of equal contents the first
// counts, empty ones are left out; a content that is in the vocabulary has its id there, the others
// get the next free ids, whatever id the file gives. Errors: kValidationFailed when ids run out.
absl::StatusOr<std::vector<AddedToken>> ResolveAddedTokens(const std::vector<AddedToken>& tokens,
                                                           const Vocabulary& vocabulary);

}  // namespace quantized::tokenizer
