// The `post_processor` of tokenizer.json: which tokens go around the ids of a text. Only single
// texts are processed, so types and pairs are read past.
// Immutable and thread-safe.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "core/hf/tokenizer/added_tokens.h"
#include "nlohmann/json.hpp"

namespace quantized::tokenizer {

// The TemplateProcessing that puts `bos` before and `eos` behind a text, or two, either of which
// may be null.
nlohmann::json TemplateAround(const AddedToken* bos, const AddedToken* eos);

class PostProcessor {
 public:
  // `json` is the value of `post_processor`; null adds nothing. Errors: kValidationFailed for
  // unknown types and damaged members.
  static absl::StatusOr<PostProcessor> Parse(const nlohmann::json& json);

  // Puts `before` and `behind` around every text.
  PostProcessor(std::vector<uint32_t> before, std::vector<uint32_t> behind)
      : before_(std::move(before)), behind_(std::move(behind)) {}

  std::vector<uint32_t> Apply(std::vector<uint32_t> ids) const;

 private:
  std::vector<uint32_t> before_;
  std::vector<uint32_t> behind_;
};

}  // namespace quantized::tokenizer
