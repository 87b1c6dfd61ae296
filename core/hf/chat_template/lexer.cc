#include "core/hf/chat_template/lexer.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/hf/chat_template/value.h"

namespace quantized::jinja {
namespace {

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsNameStart(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }

// Longest first.
constexpr std::string_view kOperators[] = {"**", "//", "==", "!=", "<=", ">=", "(", ")", "[",
                                           "]",  "{",  "}",  "+",  "-",  "*",  "/", "%", "<",
                                           ">",  "=",  ".",  ",",  ":",  "|",  "~"};

// One kind of line end; without the last one, which Jinja drops.
std::string Normalized(std::string_view source) {
  std::string text;
  text.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] != '\r') {
      text += source[i];
      continue;
    }
    text += '\n';
    if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
  }
  if (text.ends_with('\n')) text.pop_back();
  return text;
}

void AppendUtf8(uint32_t point, std::string& out) {
  if (point < 0x80) {
    out += static_cast<char>(point);
  } else if (point < 0x800) {
    out += static_cast<char>(0xc0 | point >> 6);
    out += static_cast<char>(0x80 | (point & 0x3f));
  } else if (point < 0x10000) {
    out += static_cast<char>(0xe0 | point >> 12);
    out += static_cast<char>(0x80 | (point >> 6 & 0x3f));
    out += static_cast<char>(0x80 | (point & 0x3f));
  } else {
    out += static_cast<char>(0xf0 | point >> 18);
    out += static_cast<char>(0x80 | (point >> 12 & 0x3f));
    out += static_cast<char>(0x80 | (point >> 6 & 0x3f));
    out += static_cast<char>(0x80 | (point & 0x3f));
  }
}

class Cutter {
 public:
  explicit Cutter(std::string_view source) : text_(Normalized(source)) {}

  absl::StatusOr<std::vector<Segment>> Run() {
    bool line_starts = true;  // what comes next stands at the beginning of a line
    while (at_ < text_.size()) {
      const size_t begin = NextMark();
      std::string_view plain = std::string_view(text_).substr(at_, begin - at_);
      if (begin == text_.size()) {
        AddText(plain);
        break;
      }
      const char mark = text_[begin + 1];
      const char sign = begin + 2 < text_.size() ? text_[begin + 2] : ' ';
      const bool is_sign = sign == '-' || sign == '+';
      if (sign == '-') {
        plain.remove_suffix(TrailingSpace(plain));
      } else if (sign != '+' && mark != '{') {
        plain = WithoutIndent(plain, line_starts);
      }
      AddText(plain);
      Advance(begin + 2 + (is_sign ? 1 : 0));
      if (mark == '#') {
        RETURN_IF_ERROR(SkipComment());
      } else {
        Segment segment;
        segment.kind = mark == '{' ? Segment::Kind::kOutput : Segment::Kind::kTag;
        segment.line = line_;
        ASSIGN_OR_RETURN(segment.tokens, Tokens(mark == '{' ? "}}" : "%}"));
        segments_.push_back(std::move(segment));
      }
      line_starts = at_ > 0 && text_[at_ - 1] == '\n';
    }
    return std::move(segments_);
  }

 private:
  absl::Status Wrong(std::string_view what) const {
    return Refuse(StrCat("line ", line_, ": ", what));
  }

  void Advance(size_t to) {
    line_ +=
        static_cast<uint32_t>(std::count(text_.begin() + static_cast<std::ptrdiff_t>(at_),
                                         text_.begin() + static_cast<std::ptrdiff_t>(to), '\n'));
    at_ = to;
  }

  void PassSpace() { Advance(at_ + LeadingSpace(std::string_view(text_).substr(at_))); }

  size_t NextMark() const {
    for (size_t i = at_; i + 1 < text_.size(); ++i) {
      const char next = text_[i + 1];
      if (text_[i] == '{' && (next == '{' || next == '%' || next == '#')) return i;
    }
    return text_.size();
  }

  void AddText(std::string_view plain) {
    if (plain.empty()) return;
    Segment segment;
    segment.text = plain;
    segment.line = line_;
    segments_.push_back(std::move(segment));
  }

  // lstrip_blocks: blanks between the beginning of a line and a tag do not count.
  static std::string_view WithoutIndent(std::string_view plain, bool line_starts) {
    const size_t newline = plain.rfind('\n');
    if (newline == std::string_view::npos && !line_starts) return plain;
    const size_t begin = newline == std::string_view::npos ? 0 : newline + 1;
    const std::string_view indent = plain.substr(begin);
    return LeadingSpace(indent) == indent.size() ? plain.substr(0, begin) : plain;
  }

  // Goes behind the end mark at at_ + (a sign) and what it takes along.
  void PassEnd(char sign, bool trims_newline) {
    Advance(at_ + (sign == 0 ? 2 : 3));
    if (sign == '-') {
      PassSpace();
    } else if (sign == 0 && trims_newline && at_ < text_.size() && text_[at_] == '\n') {
      Advance(at_ + 1);
    }
  }

  absl::Status SkipComment() {
    const size_t end = text_.find("#}", at_);
    if (end == std::string::npos) return Wrong("a comment without end");
    char sign = 0;
    if (end > at_ && (text_[end - 1] == '-' || text_[end - 1] == '+')) sign = text_[end - 1];
    Advance(sign == 0 ? end : end - 1);
    PassEnd(sign, true);
    return absl::OkStatus();
  }

  // The tokens up to `end`, "}}" or "%}".
  absl::StatusOr<std::vector<Token>> Tokens(std::string_view end) {
    std::vector<Token> tokens;
    size_t open = 0;  // brackets
    while (true) {
      PassSpace();
      if (at_ == text_.size()) return Wrong(StrCat("expected ", end, ", found the end"));
      const std::string_view rest = std::string_view(text_).substr(at_);
      const bool signed_end =
          (rest[0] == '-' || (rest[0] == '+' && end == "%}")) && rest.substr(1).starts_with(end);
      if (open == 0 && (signed_end || rest.starts_with(end))) {
        tokens.push_back({Token::Kind::kEnd, std::string(end), line_});
        PassEnd(signed_end ? rest[0] : '\0', end == "%}");
        return tokens;
      }
      Token token;
      token.line = line_;
      RETURN_IF_ERROR(Next(rest, token));
      if (token.kind == Token::Kind::kOperator) {
        if (token.text == "(" || token.text == "[" || token.text == "{") ++open;
        if (token.text == ")" || token.text == "]" || token.text == "}") {
          if (open-- == 0) return Wrong(StrCat("a ", token.text, " that closes nothing"));
        }
      }
      tokens.push_back(std::move(token));
    }
  }

  // Of "e5", "e-5" at the beginning of `rest`; 0 where there is none.
  static size_t ExponentSize(std::string_view rest) {
    if (rest.empty() || (rest[0] != 'e' && rest[0] != 'E')) return 0;
    size_t size = rest.size() > 1 && (rest[1] == '+' || rest[1] == '-') ? 2 : 1;
    if (size >= rest.size() || !IsDigit(rest[size])) return 0;
    while (size < rest.size() && IsDigit(rest[size])) ++size;
    return size;
  }

  absl::Status Next(std::string_view rest, Token& token) {
    if (rest[0] == '\'' || rest[0] == '"') return Text(rest, token);
    size_t size = 0;
    if (IsNameStart(rest[0])) {
      while (size < rest.size() && (IsNameStart(rest[size]) || IsDigit(rest[size]))) ++size;
      token.kind = Token::Kind::kName;
    } else if (IsDigit(rest[0])) {
      token.kind = Token::Kind::kInteger;
      while (size < rest.size() && IsDigit(rest[size])) ++size;
      if (size + 1 < rest.size() && rest[size] == '.' && IsDigit(rest[size + 1])) {
        token.kind = Token::Kind::kFloat;
        ++size;
        while (size < rest.size() && IsDigit(rest[size])) ++size;
      }
      if (const size_t exponent = ExponentSize(rest.substr(size)); exponent > 0) {
        token.kind = Token::Kind::kFloat;
        size += exponent;
      }
      if (size < rest.size() && (IsNameStart(rest[size]))) {
        return Wrong("a number with letters, expected digits");
      }
    } else {
      token.kind = Token::Kind::kOperator;
      for (const std::string_view text : kOperators) {
        if (size == 0 && rest.starts_with(text)) size = text.size();
      }
      if (size == 0) return Wrong("a character that starts no token");
    }
    token.text = rest.substr(0, size);
    Advance(at_ + size);
    return absl::OkStatus();
  }

  absl::Status Text(std::string_view rest, Token& token) {
    token.kind = Token::Kind::kString;
    size_t i = 1;
    while (true) {
      if (i >= rest.size()) return Wrong("a string without end");
      const char c = rest[i++];
      if (c == rest[0]) break;
      if (c != '\\') {
        token.text += c;
        continue;
      }
      if (i >= rest.size()) return Wrong("a string without end");
      ASSIGN_OR_RETURN(i, Escape(rest, i, token.text));
    }
    Advance(at_ + i);
    return absl::OkStatus();
  }

  // Appends what the escape whose letter stands at `i` means; the place behind it.
  absl::StatusOr<size_t> Escape(std::string_view rest, size_t i, std::string& out) const {
    constexpr std::string_view kLetters = "\\'\"abfnrtv", kMeanings = "\\'\"\a\b\f\n\r\t\v";
    const char letter = rest[i++];
    if (letter == '\n') return i;
    if (const size_t known = kLetters.find(letter); known != std::string_view::npos) {
      out += kMeanings[known];
      return i;
    }
    const size_t digits = letter == 'x' ? 2 : letter == 'u' ? 4 : letter == 'U' ? 8 : 0;
    if (digits == 0) {
      if (IsDigit(letter) || letter == 'N')
        return Wrong(StrCat("the escape \\", std::string(1, letter)));
      out += '\\';
      out += letter;
      return i;
    }
    uint32_t point = 0;
    for (size_t k = 0; k < digits; ++k, ++i) {
      const size_t digit = i < rest.size()
                               ? std::string_view("0123456789abcdef")
                                     .find(static_cast<char>(
                                         rest[i] >= 'A' && rest[i] <= 'F' ? rest[i] + 32 : rest[i]))
                               : std::string_view::npos;
      if (digit == std::string_view::npos) return Wrong("an escape that lacks digits");
      point = point << 4 | static_cast<uint32_t>(digit);
    }
    if (point > 0x10ffff || (point >= 0xd800 && point < 0xe000)) {
      return Wrong("an escape that is no character");
    }
    AppendUtf8(point, out);
    return i;
  }

  std::string text_;
  size_t at_ = 0;
  uint32_t line_ = 1;
  std::vector<Segment> segments_;
};

}  // namespace

absl::StatusOr<std::vector<Segment>> Cut(std::string_view source) { return Cutter(source).Run(); }

}  // namespace quantized::jinja
