// The `decoder` of tokenizer.json: from the texts of tokens back to a text. Semantics are those of
// Hugging Face tokenizers: docs/design/tokenizers.md, "Decoders".
// Immutable and thread-safe.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"

namespace quantized::tokenizer {

// One step: texts of tokens in, texts of tokens out.
class DecoderStep {
 public:
  virtual ~DecoderStep() = default;
  // Errors: kValidationFailed when a regular expression does too much work.
  virtual absl::StatusOr<std::vector<std::string>> Apply(std::vector<std::string> tokens) const = 0;
};

class Decoder {
 public:
  // `json` is the value of `decoder`; null puts a blank between tokens. Errors: kValidationFailed
  // for unknown types and damaged members.
  static absl::StatusOr<Decoder> Parse(const nlohmann::json& json);

  absl::StatusOr<std::string> Apply(std::vector<std::string> tokens) const;

 private:
  std::vector<std::unique_ptr<DecoderStep>> steps_;  // sequences are flattened
  bool absent_ = true;
};

}  // namespace quantized::tokenizer
