// The `pre_tokenizer` of tokenizer.json: cuts a normalised text into pieces that the model encodes
// one by one. Semantics are those of Hugging Face tokenizers: docs/design/tokenizers.md,
// "Pre-tokenizers".
// Immutable and thread-safe.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"

namespace quantized::tokenizer {

// Pieces of text in one buffer, in order; none is empty.
class Pieces {
 public:
  // `at_start`: the first piece stands at the start of the whole text, not behind an added token.
  explicit Pieces(bool at_start) : at_start_(at_start) {}

  void Reserve(size_t bytes) { text_.reserve(bytes); }
  // An empty piece is left out.
  void Append(std::string_view piece) {
    if (piece.empty()) return;
    text_ += piece;
    ends_.push_back(text_.size());
  }

  size_t size() const { return ends_.size(); }
  // Points into *this until the next Append.
  std::string_view operator[](size_t i) const {
    const size_t begin = i == 0 ? 0 : ends_[i - 1];
    return std::string_view(text_).substr(begin, ends_[i] - begin);
  }
  size_t bytes() const { return text_.size(); }
  bool at_start() const { return at_start_; }

 private:
  std::string text_;
  std::vector<size_t> ends_;
  bool at_start_;
};

// One step.
class PreTokenizerStep {
 public:
  virtual ~PreTokenizerStep() = default;
  // Errors: kValidationFailed when a regular expression does too much work.
  virtual absl::StatusOr<Pieces> Apply(const Pieces& pieces) const = 0;
};

class PreTokenizer {
 public:
  // `json` is the value of `pre_tokenizer`; null means that a text stays one piece. Errors:
  // kValidationFailed for unknown types and damaged members.
  static absl::StatusOr<PreTokenizer> Parse(const nlohmann::json& json);

  absl::StatusOr<Pieces> Apply(std::string_view text, bool at_start) const;

 private:
  std::vector<std::unique_ptr<PreTokenizerStep>> steps_;  // sequences are flattened
};

}  // namespace quantized::tokenizer
