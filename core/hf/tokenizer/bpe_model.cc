#include "core/hf/tokenizer/bpe_model.h"

#include <algorithm>
#include <queue>

#include "core/base/error.h"
#include "core/base/str_cat.h"
#include "core/hf/tokenizer/file_error.h"
#include "core/hf/tokenizer/unicode.h"

namespace quantized::tokenizer {
namespace {

// Up to this many symbols a scan for the best pair beats a heap.
constexpr size_t kShortWord = 32;
// Words beyond this are rarely met twice.
constexpr size_t kMaxCachedWordBytes = 256;
constexpr size_t kMaxCachedWords = 1 << 16;

uint64_t Pair(uint32_t left, uint32_t right) { return uint64_t{left} << 32 | right; }

}  // namespace

absl::StatusOr<BpeModel> BpeModel::Create(Vocabulary vocabulary, const std::vector<Merge>& merges,
                                          BpeOptions options) {
  BpeModel model;
  model.vocabulary_ = std::move(vocabulary);
  model.options_ = std::move(options);
  const std::string& prefix = model.options_.continuing_subword_prefix;
  std::string text;
  model.merges_.reserve(merges.size());
  for (size_t rank = 0; rank < merges.size(); ++rank) {
    const auto [left, right] = merges[rank];
    std::string_view tail = *model.vocabulary_.TextOf(right);
    if (tail.starts_with(prefix)) tail.remove_prefix(prefix.size());
    text.assign(*model.vocabulary_.TextOf(left));
    text += tail;
    const std::optional<uint32_t> id = model.vocabulary_.IdOf(text);
    if (!id.has_value()) {
      return FileError("tokenizer.json", StrCat("model.merges[", rank, "]"),
                       StrCat("a merge to ", Quoted(text)), "a token of model.vocab");
    }
    model.merges_.insert_or_assign(Pair(left, right), Joined{static_cast<uint32_t>(rank), *id});
  }
  if (!model.options_.unk_token.empty()) {
    model.unk_id_ = model.vocabulary_.IdOf(model.options_.unk_token);
    if (!model.unk_id_.has_value()) {
      return FileError("tokenizer.json", "model.unk_token", Quoted(model.options_.unk_token),
                       "a token of model.vocab");
    }
  }
  for (unsigned byte = 0; byte < 256; ++byte) {
    constexpr char kDigits[] = "0123456789ABCDEF";
    const char name[] = {'<', '0', 'x', kDigits[byte / 16], kDigits[byte % 16], '>'};
    model.byte_ids_[byte] = model.vocabulary_.IdOf(std::string_view(name, sizeof(name)));
  }
  return model;
}

const BpeModel::Joined* BpeModel::Find(uint32_t left, uint32_t right) const {
  const auto it = merges_.find(Pair(left, right));
  return it == merges_.end() ? nullptr : &it->second;
}

void BpeModel::Encode(std::string_view word, Cache* cache, std::vector<uint32_t>* ids) const {
  if (word.empty()) return;
  if (options_.ignore_merges) {
    if (const auto id = vocabulary_.IdOf(word)) {
      ids->push_back(*id);
      return;
    }
  }
  const bool cached = word.size() <= kMaxCachedWordBytes;
  if (cached) {
    const auto it = cache->words_.find(word);
    if (it != cache->words_.end()) {
      const auto begin = cache->ids_.begin() + static_cast<ptrdiff_t>(it->second.first);
      ids->insert(ids->end(), begin, begin + static_cast<ptrdiff_t>(it->second.second));
      return;
    }
  }
  std::vector<uint32_t> symbols = Characters(word);
  if (symbols.size() <= kShortWord) {
    MergeShort(&symbols);
  } else {
    MergeLong(&symbols);
  }
  ids->insert(ids->end(), symbols.begin(), symbols.end());
  if (cached && cache->words_.size() < kMaxCachedWords) {
    cache->words_.try_emplace(word, cache->ids_.size(), symbols.size());
    cache->ids_.insert(cache->ids_.end(), symbols.begin(), symbols.end());
  }
}

std::vector<uint32_t> BpeModel::Characters(std::string_view word) const {
  std::vector<uint32_t> symbols;
  symbols.reserve(word.size());
  bool unknown = false;  // an unknown token that waits to be joined by others
  std::string decorated;
  for (size_t at = 0; at < word.size();) {
    const size_t begin = at;
    NextCodePoint(word, &at);
    std::string_view character = word.substr(begin, at - begin);
    const bool prefix = begin > 0 && !options_.continuing_subword_prefix.empty();
    const bool suffix = at == word.size() && !options_.end_of_word_suffix.empty();
    if (prefix || suffix) {
      decorated = StrCat(prefix ? options_.continuing_subword_prefix : "", character,
                         suffix ? options_.end_of_word_suffix : "");
      character = decorated;
    }
    if (const auto id = vocabulary_.IdOf(character)) {
      if (unknown) symbols.push_back(*unk_id_);
      unknown = false;
      symbols.push_back(*id);
      continue;
    }
    if (options_.byte_fallback) {
      const auto known = [&](char c) {
        return byte_ids_[static_cast<unsigned char>(c)].has_value();
      };
      if (std::all_of(character.begin(), character.end(), known)) {
        // An unknown token that waits comes behind these bytes: so does Hugging Face's encoder.
        for (const char c : character) {
          symbols.push_back(*byte_ids_[static_cast<unsigned char>(c)]);
        }
        continue;
      }
    }
    if (!unk_id_.has_value()) continue;
    if (unknown && !options_.fuse_unk) symbols.push_back(*unk_id_);
    unknown = true;
  }
  if (unknown) symbols.push_back(*unk_id_);
  return symbols;
}

void BpeModel::MergeShort(std::vector<uint32_t>* symbols) const {
  while (symbols->size() > 1) {
    const Joined* best = nullptr;
    size_t best_at = 0;
    for (size_t i = 0; i + 1 < symbols->size(); ++i) {
      const Joined* joined = Find((*symbols)[i], (*symbols)[i + 1]);
      if (joined != nullptr && (best == nullptr || joined->rank < best->rank)) {
        best = joined;
        best_at = i;
      }
    }
    if (best == nullptr) return;
    (*symbols)[best_at] = best->id;
    symbols->erase(symbols->begin() + static_cast<ptrdiff_t>(best_at) + 1);
  }
}

void BpeModel::MergeLong(std::vector<uint32_t>* symbols) const {
  // Symbols form a doubly linked list; a symbol joined to its left neighbour is dead. The heap
  // holds pairs as they were when found: one of which a half has changed since is passed over.
  constexpr size_t kNone = static_cast<size_t>(-1);
  struct Link {
    size_t previous, next;
    bool dead = false;
  };
  struct Candidate {
    uint32_t rank;
    size_t left;
    uint32_t id;                                    // of the joined token
    bool operator<(const Candidate& other) const {  // std::priority_queue gives the largest
      return rank != other.rank ? rank > other.rank : left > other.left;
    }
  };
  std::vector<uint32_t>& ids = *symbols;
  std::vector<Link> links(ids.size());
  std::priority_queue<Candidate> candidates;
  const auto consider = [&](size_t left) {
    if (left == kNone || links[left].next == kNone) return;
    const Joined* joined = Find(ids[left], ids[links[left].next]);
    if (joined != nullptr) candidates.push({joined->rank, left, joined->id});
  };
  for (size_t i = 0; i < ids.size(); ++i) {
    links[i] = {i == 0 ? kNone : i - 1, i + 1 == ids.size() ? kNone : i + 1};
  }
  for (size_t i = 0; i < ids.size(); ++i) consider(i);
  while (!candidates.empty()) {
    const Candidate best = candidates.top();
    candidates.pop();
    const size_t left = best.left;
    if (links[left].dead || links[left].next == kNone) continue;
    const size_t right = links[left].next;
    const Joined* joined = Find(ids[left], ids[right]);
    if (joined == nullptr || joined->id != best.id) continue;
    ids[left] = best.id;
    links[right].dead = true;
    links[left].next = links[right].next;
    if (links[right].next != kNone) links[links[right].next].previous = left;
    consider(links[left].previous);
    consider(left);
  }
  size_t kept = 0;
  for (size_t i = 0; i < ids.size(); ++i) {
    if (!links[i].dead) ids[kept++] = ids[i];
  }
  ids.resize(kept);
}

}  // namespace quantized::tokenizer
