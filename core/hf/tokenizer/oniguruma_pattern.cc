#include "core/hf/tokenizer/oniguruma_pattern.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/tensor/text.h"

namespace quantized::tokenizer {
namespace {

// Contents of brackets. White space is the Unicode property; PCRE2's \s has U+180E as well.
constexpr std::string_view kSpace =
    R"(\x{9}-\x{d}\x{20}\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})";
constexpr std::string_view kNotSpace =
    R"(\x{0}-\x{8}\x{e}-\x{1f}\x{21}-\x{84}\x{86}-\x{9f}\x{a1}-\x{167f}\x{1681}-\x{1fff})"
    R"(\x{200b}-\x{2027}\x{202a}-\x{202e}\x{2030}-\x{205e}\x{2060}-\x{2fff}\x{3001}-\x{d7ff})"
    R"(\x{e000}-\x{10ffff})";
constexpr std::string_view kWord = R"(\p{Alphabetic}\p{M}\p{Nd}\p{Pc})";
constexpr std::string_view kHexDigit = "0-9a-fA-F";

// Names of Oniguruma's properties and POSIX brackets that PCRE2 writes otherwise, as contents of
// brackets.
constexpr std::array<std::pair<std::string_view, std::string_view>, 22> kNames = {{
    {"letter", R"(\p{L})"},
    {"mark", R"(\p{M})"},
    {"number", R"(\p{N})"},
    {"punctuation", R"(\p{P})"},
    {"symbol", R"(\p{S})"},
    {"separator", R"(\p{Z})"},
    {"other", R"(\p{C})"},
    {"alpha", R"(\p{Alphabetic})"},
    {"alphabetic", R"(\p{Alphabetic})"},
    {"alnum", R"(\p{Alphabetic}\p{Nd})"},
    {"digit", R"(\p{Nd})"},
    {"upper", R"(\p{Uppercase})"},
    {"uppercase", R"(\p{Uppercase})"},
    {"lower", R"(\p{Lowercase})"},
    {"lowercase", R"(\p{Lowercase})"},
    {"space", kSpace},
    {"white_space", kSpace},
    {"word", kWord},
    {"xdigit", kHexDigit},
    {"punct", R"(\p{P}$+<=>^`|~)"},
    {"emoji", R"(\p{Emoji})"},
    {"extended_pictographic", R"(\p{Extended_Pictographic})"},
}};

// General categories mean the same in both.
bool IsGeneralCategory(std::string_view name) {
  constexpr std::array<std::string_view, 37> kCategories = {
      "L",  "Ll", "Lm", "Lo", "Lt", "Lu", "M",  "Mc", "Me", "Mn", "N",  "Nd", "Nl",
      "No", "P",  "Pc", "Pd", "Pe", "Pf", "Pi", "Po", "Ps", "S",  "Sc", "Sk", "Sm",
      "So", "Z",  "Zl", "Zp", "Zs", "C",  "Cc", "Cf", "Cn", "Co", "Any"};
  for (const std::string_view category : kCategories) {
    if (category == name) return true;
  }
  return false;
}

bool EqualsIgnoreCase(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) {
    return std::tolower(static_cast<unsigned char>(x)) ==
           std::tolower(static_cast<unsigned char>(y));
  });
}

class Translator {
 public:
  explicit Translator(std::string_view pattern) : in_(pattern) {}

  absl::StatusOr<std::string> Run() {
    while (at_ < in_.size()) {
      switch (in_[at_]) {
        case '\\':
          RETURN_IF_ERROR(Escape());
          break;
        case '[':
          RETURN_IF_ERROR(Class());
          break;
        case '(':
          RETURN_IF_ERROR(OpenGroup());
          break;
        case ')':
          if (groups_.empty()) return Unsupported("a closing parenthesis without an opening one");
          atom_ = groups_.back();
          groups_.pop_back();
          out_ += in_[at_++];
          break;
        case '*':
        case '+':
        case '?':
          RETURN_IF_ERROR(Repeat());
          break;
        case '{':
          RETURN_IF_ERROR(Interval());
          break;
        case '|':
          atom_ = std::string::npos;
          out_ += in_[at_++];
          break;
        default:
          Literal();
      }
    }
    if (!groups_.empty()) return Unsupported("a parenthesis that is not closed");
    return std::move(out_);
  }

 private:
  absl::Status Unsupported(std::string_view what) const {
    return MakeError(Error::kValidationFailed,
                     StrCat("regular expression: ", what, " at offset ", at_,
                            " is not supported: ", PrintableName(in_)));
  }

  void Atom(std::string_view text) {
    atom_ = out_.size();
    StrAppend(&out_, text);
  }

  void Literal() {
    atom_ = out_.size();
    do {
      out_ += in_[at_++];
    } while (at_ < in_.size() && (static_cast<unsigned char>(in_[at_]) & 0xC0) == 0x80);
  }

  // \p{Name}, \P{Name}, \p{^Name} at `at_` (behind the p): contents of brackets, and whether the
  // opposite is meant.
  absl::StatusOr<std::pair<std::string, bool>> Property(bool negated) {
    if (at_ >= in_.size() || in_[at_] != '{') return Unsupported("a property without braces");
    const size_t close = in_.find('}', at_);
    if (close == std::string_view::npos) return Unsupported("a property that is not closed");
    std::string_view name = in_.substr(at_ + 1, close - at_ - 1);
    at_ = close + 1;
    if (name.starts_with("^")) {
      negated = !negated;
      name.remove_prefix(1);
    }
    for (const char c : name) {
      if (!std::isalnum(static_cast<unsigned char>(c)) && c != '_') {
        return Unsupported("a property of this name");
      }
    }
    if (IsGeneralCategory(name)) return std::pair(StrCat("\\p{", name, "}"), negated);
    for (const auto& [onig, pcre] : kNames) {
      if (EqualsIgnoreCase(onig, name)) return std::pair(std::string(pcre), negated);
    }
    // A script. PCRE2 means script extensions where Oniguruma means the script alone.
    return std::pair(StrCat("\\p{sc:", name, "}"), negated);
  }

  // Behind a backslash: \uHHHH, \x{H…}, \xHH and letters that stand for one character. Appends it
  // and returns true, or leaves everything as it is.
  bool CharacterEscape() {
    const char c = in_[at_];
    if (c == 'u' && at_ + 4 < in_.size()) {
      const std::string_view digits = in_.substr(at_ + 1, 4);
      for (const char d : digits) {
        if (!std::isxdigit(static_cast<unsigned char>(d))) return false;
      }
      StrAppend(&out_, "\\x{", digits, "}");
      at_ += 5;
      return true;
    }
    if (c == 'v') {  // vertical tab; PCRE2: any vertical space
      out_ += "\\x{b}";
      ++at_;
      return true;
    }
    const bool letter = std::isalnum(static_cast<unsigned char>(c)) != 0;
    if (!letter || std::string_view("nrtfaex0").find(c) != std::string_view::npos) {
      if (static_cast<unsigned char>(c) < 0x80) out_ += '\\';
      out_ += c;
      ++at_;
      return true;
    }
    return false;
  }

  absl::Status Escape() {
    ++at_;
    if (at_ >= in_.size()) return Unsupported("a backslash at the end");
    const char c = in_[at_];
    const auto set = [&](std::string_view content, bool negated) {
      ++at_;
      Atom(StrCat(negated ? "[^" : "[", content, "]"));
      return absl::OkStatus();
    };
    switch (c) {
      case 's':
      case 'S':
        return set(kSpace, c == 'S');
      case 'w':
      case 'W':
        return set(kWord, c == 'W');
      case 'd':
      case 'D':
        return set(R"(\p{Nd})", c == 'D');
      case 'h':
      case 'H':
        return set(kHexDigit, c == 'H');
      case 'p':
      case 'P': {
        ++at_;
        ASSIGN_OR_RETURN(const auto property, Property(c == 'P'));
        Atom(StrCat(property.second ? "[^" : "[", property.first, "]"));
        return absl::OkStatus();
      }
      case 'b':
      case 'B': {
        ++at_;
        const std::string word = StrCat("[", kWord, "]");
        const std::string_view left = c == 'b' ? "<!" : "<=";
        const std::string_view right = c == 'b' ? "<=" : "<!";
        Atom(StrCat("(?:(?", left, word, ")(?=", word, ")|(?", right, word, ")(?!", word, "))"));
        return absl::OkStatus();
      }
      case 'A':
      case 'z':
      case 'Z':
      case 'G':
      case 'R':
      case 'X':
      case '1':
      case '2':
      case '3':
      case '4':
      case '5':
      case '6':
      case '7':
      case '8':
      case '9':
        ++at_;
        Atom(StrCat("\\", std::string_view(&c, 1)));
        return absl::OkStatus();
      default:
        break;
    }
    const size_t start = out_.size();
    if (!CharacterEscape()) return Unsupported("this escape");
    // A non-ASCII character or \x{…} goes on behind its first byte as literal text.
    while (at_ < in_.size() && (static_cast<unsigned char>(in_[at_]) & 0xC0) == 0x80) {
      out_ += in_[at_++];
    }
    if (c == 'x') CopyHexadecimal();
    atom_ = start;
    return absl::OkStatus();
  }

  // What follows \x: {H…} or up to two digits.
  void CopyHexadecimal() {
    if (at_ < in_.size() && in_[at_] == '{') {
      while (at_ < in_.size() && in_[at_] != '}') out_ += in_[at_++];
      if (at_ < in_.size()) out_ += in_[at_++];
      return;
    }
    for (int i = 0;
         i < 2 && at_ < in_.size() && std::isxdigit(static_cast<unsigned char>(in_[at_])); ++i) {
      out_ += in_[at_++];
    }
  }

  absl::Status ClassEscape() {
    ++at_;
    if (at_ >= in_.size()) return Unsupported("a backslash at the end");
    const char c = in_[at_];
    const auto add = [&](std::string_view content) {
      ++at_;
      StrAppend(&out_, content);
      return absl::OkStatus();
    };
    switch (c) {
      case 's':
        return add(kSpace);
      case 'S':
        return add(kNotSpace);
      case 'w':
        return add(kWord);
      case 'd':
        return add(R"(\p{Nd})");
      case 'D':
        return add(R"(\P{Nd})");
      case 'h':
        return add(kHexDigit);
      case 'b':
        return add(R"(\x{8})");
      case 'p':
      case 'P': {
        ++at_;
        ASSIGN_OR_RETURN(const auto property, Property(c == 'P'));
        if (!property.second) {
          out_ += property.first;
        } else if (property.first == kSpace) {
          out_ += kNotSpace;
        } else if (property.first.starts_with("\\p") &&
                   property.first.find("\\p", 1) == std::string::npos &&
                   property.first.back() == '}') {
          StrAppend(&out_, "\\P", property.first.substr(2));
        } else {
          return Unsupported("the opposite of this property in brackets");
        }
        return absl::OkStatus();
      }
      default:
        break;
    }
    if (!CharacterEscape()) return Unsupported("this escape in brackets");
    if (c == 'x') CopyHexadecimal();
    return absl::OkStatus();
  }

  absl::Status Class() {
    const size_t start = out_.size();
    out_ += in_[at_++];
    if (at_ < in_.size() && in_[at_] == '^') out_ += in_[at_++];
    bool first = true;
    while (true) {
      if (at_ >= in_.size()) return Unsupported("a bracket that is not closed");
      const char c = in_[at_];
      if (c == ']' && !first) break;
      first = false;
      if (c == '\\') {
        RETURN_IF_ERROR(ClassEscape());
      } else if (c == '[') {
        RETURN_IF_ERROR(PosixBracket());
      } else if (c == '&' && at_ + 1 < in_.size() && in_[at_ + 1] == '&') {
        return Unsupported("an intersection in brackets");
      } else {
        if (c == ']') out_ += '\\';
        out_ += c;
        ++at_;
      }
    }
    out_ += in_[at_++];
    atom_ = start;
    return absl::OkStatus();
  }

  absl::Status PosixBracket() {
    const size_t close = in_.find(":]", at_);
    if (in_.substr(at_, 2) != "[:" || close == std::string_view::npos) {
      return Unsupported("a bracket in brackets");
    }
    const std::string_view name = in_.substr(at_ + 2, close - at_ - 2);
    for (const auto& [onig, pcre] : kNames) {
      if (onig == name) {
        out_ += pcre;
        at_ = close + 2;
        return absl::OkStatus();
      }
    }
    return Unsupported("a bracket of this name");
  }

  absl::Status OpenGroup() {
    groups_.push_back(out_.size());
    if (groups_.size() > 200) return Unsupported("nesting deeper than 200");
    atom_ = std::string::npos;
    if (at_ + 1 < in_.size() && in_[at_ + 1] == '*') return Unsupported("a verb");
    if (at_ + 1 >= in_.size() || in_[at_ + 1] != '?') {
      out_ += in_[at_++];
      return absl::OkStatus();
    }
    for (const std::string_view head : {"(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>"}) {
      if (in_.substr(at_, head.size()) == head) {
        StrAppend(&out_, head);
        at_ += head.size();
        return absl::OkStatus();
      }
    }
    // Options: (?im-x:…), or (?im-x) at the start of the pattern. Ruby's m is what others call s.
    const bool at_start = out_.empty();
    std::string options = "(?";
    size_t i = at_ + 2;
    for (; i < in_.size() && std::string_view("imx-").find(in_[i]) != std::string_view::npos; ++i) {
      options += in_[i] == 'm' ? 's' : in_[i];
    }
    if (i < in_.size() && in_[i] == ':') {
      StrAppend(&out_, options, ":");
    } else if (i < in_.size() && in_[i] == ')' && at_start) {
      StrAppend(&out_, options, ")");
      groups_.pop_back();
    } else {
      return Unsupported("a group of this kind");
    }
    at_ = i + 1;
    return absl::OkStatus();
  }

  absl::Status Repeat() {
    if (atom_ == std::string::npos) return Unsupported("a repeat of nothing");
    out_ += in_[at_++];
    // Lazy or possessive: the same in both.
    if (at_ < in_.size() && (in_[at_] == '?' || in_[at_] == '+')) out_ += in_[at_++];
    return absl::OkStatus();
  }

  absl::Status Interval() {
    size_t i = at_ + 1;
    const auto digits = [&] {
      const size_t start = i;
      while (i < in_.size() && std::isdigit(static_cast<unsigned char>(in_[i]))) ++i;
      return in_.substr(start, i - start);
    };
    const std::string_view low = digits();
    const bool exact = i >= in_.size() || in_[i] != ',';
    if (!exact) ++i;
    const std::string_view high = exact ? low : digits();
    if (i >= in_.size() || in_[i] != '}' || (low.empty() && high.empty())) {
      ++at_;  // not an interval: a brace
      Atom("\\{");
      return absl::OkStatus();
    }
    if (atom_ == std::string::npos) return Unsupported("a repeat of nothing");
    at_ = i + 1;
    const std::string interval =
        exact ? StrCat("{", low, "}") : StrCat("{", low.empty() ? "0" : low, ",", high, "}");
    out_ += interval;
    const char next = at_ < in_.size() ? in_[at_] : '\0';
    if (next == '+' || (next == '?' && exact)) {
      // Here Ruby's + repeats the interval and is not possessive, and its ? makes an exact number
      // optional and is not lazy.
      out_.insert(atom_, "(?:");
      StrAppend(&out_, ")", std::string_view(&next, 1));
      ++at_;
    } else if (next == '?') {
      out_ += in_[at_++];
    }
    return absl::OkStatus();
  }

  std::string_view in_;
  size_t at_ = 0;
  std::string out_;
  size_t atom_ = std::string::npos;  // where in out_ the last repeatable thing starts
  std::vector<size_t> groups_;       // where in out_ the open groups start
};

}  // namespace

absl::StatusOr<std::string> TranslateOnigurumaPattern(std::string_view pattern) {
  return Translator(pattern).Run();
}

}  // namespace quantized::tokenizer
