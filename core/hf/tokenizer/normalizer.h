// The `normalizer` of tokenizer.json: what happens to a text before it is split. Semantics are
// those of Hugging Face tokenizers: docs/design/tokenizers.md, "Normalizers". Immutable and
// thread-safe.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"

namespace quantized::tokenizer {

// One step.
class NormalizerStep {
 public:
  virtual ~NormalizerStep() = default;
  // `text` is valid UTF-8, and so is the result. Errors: kValidationFailed when a regular
  // expression does too much work or the text grows beyond bounds.
  virtual absl::StatusOr<std::string> Apply(std::string text) const = 0;
};

class Normalizer {
 public:
  // `json` is the value of `normalizer`; null means that texts stay as they are. Errors:
  // kValidationFailed for unknown types and damaged members.
  static absl::StatusOr<Normalizer> Parse(const nlohmann::json& json);

  absl::StatusOr<std::string> Apply(std::string_view text) const;

 private:
  std::vector<std::unique_ptr<NormalizerStep>> steps_;  // sequences are flattened
};

}  // namespace quantized::tokenizer
