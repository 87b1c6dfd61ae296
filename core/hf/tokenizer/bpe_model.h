// Byte-pair encoding (Sennrich et al. 2016, arXiv:1508.07909) as Hugging Face tokenizers does it: a
// word starts as its characters; of all neighbours that a merge joins, the merge of the lowest rank
// is done first, the leftmost where several are equal; until no merge applies.
// Immutable and thread-safe; calls share nothing but what is const.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "core/hf/tokenizer/text.h"
#include "core/hf/tokenizer/vocabulary.h"

namespace quantized::tokenizer {

struct BpeOptions {
  std::string unk_token;                  // empty: unknown characters are left out
  std::string continuing_subword_prefix;  // before every character but a word's first
  std::string end_of_word_suffix;         // behind a word's last character
  bool fuse_unk = false;                  // neighbouring unknown characters make one token
  bool byte_fallback = false;             // unknown characters become <0xNN> tokens
  bool ignore_merges = false;             // a word that is a token is that token
};

// Ids of the left and the right half.
using Merge = std::pair<uint32_t, uint32_t>;

class BpeModel {
 public:
  // `merges` in order of rank; of two equal pairs the later counts. Errors: kValidationFailed when
  // the token that a merge makes, or unk_token, is not in the vocabulary.
  static absl::StatusOr<BpeModel> Create(Vocabulary vocabulary, const std::vector<Merge>& merges,
                                         BpeOptions options);

  const Vocabulary& vocabulary() const { return vocabulary_; }

  // Results of words seen before; one per run over a text.
  class Cache {
   public:
    Cache() = default;

   private:
    friend class BpeModel;
    absl::flat_hash_map<std::string, std::pair<size_t, size_t>, TextHash, std::equal_to<>>
        words_;  // into ids_: begin, count
    std::vector<uint32_t> ids_;
  };

  // Appends the ids of `word`, which is valid UTF-8. Time is in O(n log n) of its length.
  void Encode(std::string_view word, Cache* cache, std::vector<uint32_t>* ids) const;

 private:
  struct Joined {
    uint32_t rank;
    uint32_t id;
  };
  BpeModel() = default;
  std::vector<uint32_t> Characters(std::string_view word) const;
  const Joined* Find(uint32_t left, uint32_t right) const;
  void MergeShort(std::vector<uint32_t>* symbols) const;
  void MergeLong(std::vector<uint32_t>* symbols) const;

  Vocabulary vocabulary_;
  BpeOptions options_;
  std::optional<uint32_t> unk_id_;
  std::optional<uint32_t> byte_ids_[256];
  absl::flat_hash_map<uint64_t, Joined> merges_;  // left << 32 | right
};

}  // namespace quantized::tokenizer
