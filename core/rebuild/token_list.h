// The tokens of a GGUF file: texts, types and scores, checked once so that what is made of them
// need not look again. Points into the metadata, which must outlive it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "core/gguf/metadata.h"
#include "core/hf/tokenizer/added_tokens.h"
#include "core/hf/tokenizer/sentencepiece_model.h"

namespace quantized {

// How a vocabulary is encoded with: tokenizer.ggml.model.
enum class TokenizerKind { kByteLevel, kSentencePiece };

class TokenList {
 public:
  // Errors, naming the key or token: kUnsupportedConversion for another tokenizer.ggml.model than
  // gpt2 and llama; kValidationFailed for lists that are missing or of other sizes than that of the
  // tokens, texts that are empty or not UTF-8, and types and scores that are none.
  static absl::StatusOr<TokenList> Read(const gguf::Metadata& metadata);

  TokenizerKind kind() const { return kind_; }
  uint32_t size() const { return static_cast<uint32_t>(texts_->size()); }
  const std::string& text(uint32_t id) const { return (*texts_)[id]; }
  tokenizer::PieceType type(uint32_t id) const;
  float score(uint32_t id) const { return (*scores_)[id]; }  // of kSentencePiece alone

  // One that a conversion made for a row of the embedding that no token has.
  bool IsPadding(uint32_t id) const;
  // One more than the last id that is no padding; 0 where all are.
  uint32_t end_id() const;

  // The tokens that stand outside the model: control tokens and the unknown one are special,
  // user-defined ones are not; all are looked for in the text as it stands. By id. Errors:
  // kValidationFailed for more or longer ones than tokenizers have.
  absl::StatusOr<std::vector<tokenizer::AddedToken>> AddedTokens() const;

 private:
  TokenList() = default;

  TokenizerKind kind_ = TokenizerKind::kByteLevel;
  const std::vector<std::string>* texts_ = nullptr;
  const std::vector<int32_t>* types_ = nullptr;
  const std::vector<float>* scores_ = nullptr;
};

}  // namespace quantized
