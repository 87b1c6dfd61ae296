// Tokens that stand outside the model: they are cut out of a text before the model sees the rest.
// At each place the longest one wins. Semantics: docs/design/tokenizers.md, "Added tokens".
// Immutable and thread-safe once built.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"

namespace quantized::tokenizer {

struct AddedToken {
  uint32_t id = 0;
  std::string content;
  bool special = false;      // left out when decoding on request
  bool normalized = false;   // looked for in the normalised text, not in the text itself
  bool lstrip = false;       // takes white space before it along
  bool rstrip = false;       // takes white space behind it along
  bool single_word = false;  // only where no word goes on at either end
};

// Longer ones would make the search slow; the longest that is known has 93 bytes.
inline constexpr size_t kMaxAddedTokenBytes = 1024;
inline constexpr size_t kMaxAddedTokens = 1 << 17;

// Finds a set of tokens in texts.
class AddedTokenMatcher {
 public:
  // A stretch of a text: an added token's, or what lies between (no id).
  struct Part {
    std::optional<uint32_t> id;
    size_t begin = 0;
    size_t end = 0;
  };

  // `text` is what to look for: the content, normalised where the token says so. Of two tokens with
  // one text the first is kept. Precondition: text.size() <= kMaxAddedTokenBytes.
  void Add(std::string_view text, const AddedToken& token);

  // The parts of `text`, in order, empty ones left out. Takes time for each byte in proportion to
  // the longest token that could start there.
  std::vector<Part> Split(std::string_view text) const;

 private:
  struct Node {
    int32_t token = -1;  // index into tokens_
  };
  struct Flags {
    uint32_t id;
    bool lstrip, rstrip, single_word;
  };

  // A trie over bytes: children_ maps node * 256 + byte to a node.
  std::vector<Node> nodes_ = {Node{}};
  absl::flat_hash_map<uint64_t, uint32_t> children_;
  std::vector<Flags> tokens_;
  bool starts_[256] = {};  // bytes that some token starts with
};

}  // namespace quantized::tokenizer
