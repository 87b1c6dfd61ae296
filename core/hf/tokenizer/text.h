// Texts by std::string_view, which Debian's abseil, with a string_view of its own, does not take.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

namespace quantized::tokenizer {

// `text` with every `from`, which is not empty, replaced by `to`.
inline std::string ReplaceAll(std::string_view text, std::string_view from, std::string_view to) {
  std::string out;
  size_t done = 0;
  for (size_t at = text.find(from); at != std::string_view::npos; at = text.find(from, done)) {
    out.append(text.substr(done, at - done)).append(to);
    done = at + from.size();
  }
  out.append(text.substr(done));
  return out;
}

// Hash of a text for absl's tables, which look keys up by view.
struct TextHash {
  using is_transparent = void;
  size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
};

}  // namespace quantized::tokenizer
