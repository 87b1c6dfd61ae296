// The tokens of a model: text to id and back. Texts lie in one buffer, so that 262,144 tokens cost
// about 20 MB. Ids need not be dense.
// Immutable and thread-safe once built; movable.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "core/hf/tokenizer/text.h"

namespace quantized::tokenizer {

class Vocabulary {
 public:
  // Ids are below this: 16 times the largest vocabulary known.
  static constexpr uint32_t kMaxTokens = uint32_t{1} << 22;

  Vocabulary() = default;
  // For `tokens` texts of `text_bytes` bytes in all; Add never takes more.
  Vocabulary(size_t tokens, size_t text_bytes);

  // Copies `text`. Errors: kValidationFailed for an id out of range, and where the text or the id
  // is there already.
  absl::Status Add(std::string_view text, uint64_t id);

  size_t size() const { return ids_.size(); }
  // One more than the largest id.
  uint32_t end_id() const { return static_cast<uint32_t>(texts_.size()); }

  std::optional<uint32_t> IdOf(std::string_view text) const {
    const auto it = ids_.find(text);
    if (it == ids_.end()) return std::nullopt;
    return it->second;
  }
  // Points into *this. nullopt for an id that no token has.
  std::optional<std::string_view> TextOf(uint32_t id) const {
    if (id >= texts_.size() || texts_[id].data() == nullptr) return std::nullopt;
    return texts_[id];
  }

 private:
  std::vector<char> bytes_;  // never reallocated after construction: views point into it
  size_t used_bytes_ = 0;
  std::vector<std::string_view> texts_;  // by id; data() is null where there is no token
  absl::flat_hash_map<std::string_view, uint32_t, TextHash, std::equal_to<>> ids_;
};

}  // namespace quantized::tokenizer
