#include "core/hf/tokenizer/vocabulary.h"

#include <algorithm>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/str_cat.h"
#include "core/hf/tokenizer/file_error.h"

namespace quantized::tokenizer {

Vocabulary::Vocabulary(size_t tokens, size_t text_bytes) : bytes_(text_bytes + 1) {
  ids_.reserve(tokens);
  texts_.reserve(tokens);
}

absl::Status Vocabulary::Add(std::string_view text, uint64_t id) {
  if (id >= kMaxTokens) {
    return MakeError(Error::kValidationFailed, StrCat("token ", Quoted(text), " has id ", id,
                                                      ", expected below ", kMaxTokens));
  }
  if (ids_.contains(text)) {
    return MakeError(
        Error::kValidationFailed,
        StrCat("token ", Quoted(text), " is there twice, with ids ", *IdOf(text), " and ", id));
  }
  if (const auto other = TextOf(static_cast<uint32_t>(id))) {
    return MakeError(Error::kValidationFailed, StrCat("id ", id, " is there twice, for ",
                                                      Quoted(*other), " and ", Quoted(text)));
  }
  CHECK(text.size() < bytes_.size() - used_bytes_);
  char* const to = bytes_.data() + used_bytes_;
  std::copy(text.begin(), text.end(), to);
  used_bytes_ += text.size();
  const std::string_view kept(to, text.size());
  if (id >= texts_.size()) texts_.resize(id + 1);
  texts_[id] = kept;
  ids_.emplace(kept, static_cast<uint32_t>(id));
  return absl::OkStatus();
}

}  // namespace quantized::tokenizer
