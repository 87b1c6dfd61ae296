#include "core/hf/tokenizer/added_tokens.h"

#include <algorithm>

#include "core/base/check.h"
#include "core/hf/tokenizer/unicode.h"

namespace quantized::tokenizer {
namespace {

// Where the white space that ends at `end` begins.
size_t WhiteSpaceBefore(std::string_view text, size_t end) {
  while (end > 0 && IsWhiteSpace(LastCodePoint(text, end))) {
    do {
      --end;
    } while ((static_cast<unsigned char>(text[end]) & 0xC0) == 0x80);
  }
  return end;
}

// Where the white space that begins at `begin` ends.
size_t WhiteSpaceBehind(std::string_view text, size_t begin) {
  while (begin < text.size()) {
    size_t next = begin;
    if (!IsWhiteSpace(NextCodePoint(text, &next))) break;
    begin = next;
  }
  return begin;
}

bool StandsAlone(std::string_view text, size_t begin, size_t end) {
  if (begin > 0 && IsWordPart(LastCodePoint(text, begin))) return false;
  if (end == text.size()) return true;
  return !IsWordPart(NextCodePoint(text, &end));
}

}  // namespace

void AddedTokenMatcher::Add(std::string_view text, const AddedToken& token) {
  CHECK(text.size() <= kMaxAddedTokenBytes);
  if (text.empty()) return;
  starts_[static_cast<unsigned char>(text[0])] = true;
  uint32_t node = 0;
  for (const char c : text) {
    const uint64_t edge = uint64_t{node} * 256 + static_cast<unsigned char>(c);
    const auto [it, is_new] = children_.try_emplace(edge, static_cast<uint32_t>(nodes_.size()));
    if (is_new) nodes_.push_back({});
    node = it->second;
  }
  if (nodes_[node].token >= 0) return;
  nodes_[node].token = static_cast<int32_t>(tokens_.size());
  tokens_.push_back({token.id, token.lstrip, token.rstrip, token.single_word});
}

std::vector<AddedTokenMatcher::Part> AddedTokenMatcher::Split(std::string_view text) const {
  std::vector<Part> parts;
  size_t done = 0;  // end of the last token with the white space it took
  for (size_t at = 0; at < text.size();) {
    int32_t best = -1;
    size_t best_end = at;
    if (starts_[static_cast<unsigned char>(text[at])]) {
      uint32_t node = 0;
      for (size_t i = at; i < text.size(); ++i) {
        const auto it = children_.find(uint64_t{node} * 256 + static_cast<unsigned char>(text[i]));
        if (it == children_.end()) break;
        node = it->second;
        if (nodes_[node].token >= 0) {
          best = nodes_[node].token;
          best_end = i + 1;
        }
      }
    }
    if (best < 0) {
      ++at;
      continue;
    }
    const Flags& token = tokens_[static_cast<size_t>(best)];
    if (token.single_word && !StandsAlone(text, at, best_end)) {
      at = best_end;  // a match that is thrown away still uses up its text
      continue;
    }
    const size_t begin =
        token.lstrip ? std::max(WhiteSpaceBefore(text.substr(0, at), at), done) : at;
    const size_t end = token.rstrip ? WhiteSpaceBehind(text, best_end) : best_end;
    if (done < begin) parts.push_back({std::nullopt, done, begin});
    parts.push_back({token.id, begin, end});
    // The search goes on behind the token itself: one that starts in the white space counts too.
    done = end;
    at = best_end;
  }
  if (done < text.size()) parts.push_back({std::nullopt, done, text.size()});
  return parts;
}

}  // namespace quantized::tokenizer
