#include "core/hf/chat_template/text_functions.h"

#include <algorithm>

#include "core/base/status_macros.h"
#include "core/base/str_cat.h"

namespace quantized::jinja {
namespace {

char Upper(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; }
char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

}  // namespace

bool IsAscii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return (c & 0x80) == 0; });
}

bool BeforeWithoutCase(std::string_view a, std::string_view b) {
  return std::lexicographical_compare(a.begin(), a.end(), b.begin(), b.end(),
                                      [](char x, char y) { return Lower(x) < Lower(y); });
}

absl::StatusOr<Value> ChangeCase(std::string_view how, std::string text) {
  if (!IsAscii(text)) return Refuse(StrCat(how, " of a text that is not ASCII"));
  bool starts = true;  // the next letter is a word's first
  for (char& c : text) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    const bool up = how == "upper" || (how != "lower" && starts);
    c = up ? Upper(c) : Lower(c);
    starts = how == "title" ? !letter : false;
  }
  return Value(std::move(text));
}

absl::StatusOr<Value> Replace(const std::string& text, const std::string& from,
                              const std::string& to, Work& work) {
  if (from.empty()) return Refuse("replace of an empty text");
  size_t count = 0;
  for (size_t at = text.find(from); at != std::string::npos;
       at = text.find(from, at + from.size())) {
    ++count;
  }
  RETURN_IF_ERROR(work.Charge(text.size() + count * to.size()));
  std::string out;
  size_t done = 0;
  for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, done)) {
    out.append(text, done, at - done).append(to);
    done = at + from.size();
  }
  out.append(text, done);
  return Value(std::move(out));
}

}  // namespace quantized::jinja
