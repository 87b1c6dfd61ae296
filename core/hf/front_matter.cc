#include "core/hf/front_matter.h"

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "simdjson.h"

namespace quantized {
namespace {

using nlohmann::json;

constexpr int kMaxDepth = 32;
constexpr size_t kMaxValueLines = 512;  // of one quoted scalar or flow collection

struct Line {
  size_t indent = 0;
  std::string text;  // without its indentation and trailing blanks

  bool empty() const { return text.empty(); }
  bool is_comment() const { return text.starts_with("#"); }
  bool is_item() const { return text == "-" || text.starts_with("- "); }
};

void AppendUtf8(uint32_t code, std::string& out) {
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += static_cast<char>(0xC0 | code >> 6);
    out += static_cast<char>(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    out += static_cast<char>(0xE0 | code >> 12);
    out += static_cast<char>(0x80 | (code >> 6 & 0x3F));
    out += static_cast<char>(0x80 | (code & 0x3F));
  } else {
    out += static_cast<char>(0xF0 | code >> 18);
    out += static_cast<char>(0x80 | (code >> 12 & 0x3F));
    out += static_cast<char>(0x80 | (code >> 6 & 0x3F));
    out += static_cast<char>(0x80 | (code & 0x3F));
  }
}

// Reads flow content (quoted and plain scalars, [..], {..}) out of one joined text.
class FlowReader {
 public:
  explicit FlowReader(std::string_view text) : text_(text) {}

  // One value from the start of the text; nullopt when it is malformed. `in_flow`: inside brackets,
  // where commas and brackets end a plain scalar.
  std::optional<json> Value(bool in_flow, int depth) {
    SkipBlanks();
    if (depth > kMaxDepth || at_end()) return std::nullopt;
    switch (text_[at_]) {
      case '[':
        return Sequence(depth);
      case '{':
        return Mapping(depth);
      case '"':
      case '\'':
        return Quoted();
      case '&':
      case '*':
      case '!':
      case '|':
      case '>':
      case '%':
      case '@':
      case '`':
        return std::nullopt;
      default:
        return Plain(in_flow);
    }
  }

  // Whether nothing but blanks and a comment is left.
  bool Finished() {
    SkipBlanks();
    return at_end() || (text_[at_] == '#' && at_ > 0 && text_[at_ - 1] == ' ');
  }

  size_t position() const { return at_; }

  std::optional<json> Quoted() {
    const char quote = text_[at_++];
    std::string value;
    while (!at_end()) {
      const char c = text_[at_++];
      if (c == quote) {
        if (quote == '\'' && !at_end() && text_[at_] == '\'') {
          value += '\'';
          ++at_;
          continue;
        }
        return value;
      }
      if (c == '\\' && quote == '"') {
        if (!Escape(value)) return std::nullopt;
      } else {
        value += c;
      }
    }
    return std::nullopt;
  }

 private:
  bool at_end() const { return at_ >= text_.size(); }
  void SkipBlanks() {
    while (!at_end() && text_[at_] == ' ') ++at_;
  }

  bool Escape(std::string& value) {
    if (at_end()) return false;
    const char c = text_[at_++];
    constexpr std::string_view kNames = "0abtnvfre \"/\\";
    constexpr std::string_view kValues("\0\a\b\t\n\v\f\r\x1b \"/\\", 13);
    if (const size_t index = kNames.find(c); index != std::string_view::npos) {
      value += kValues[index];
      return true;
    }
    const size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (digits == 0 || text_.size() - at_ < digits) return false;
    uint32_t code = 0;
    for (size_t i = 0; i < digits; ++i) {
      const char digit = text_[at_++];
      if (!absl::ascii_isxdigit(static_cast<unsigned char>(digit))) return false;
      const int nibble = digit <= '9' ? digit - '0' : (digit | 0x20) - 'a' + 10;
      code = code << 4 | static_cast<uint32_t>(nibble);
    }
    if (code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) return false;
    AppendUtf8(code, value);
    return true;
  }

  json Plain(bool in_flow) {
    const size_t start = at_;
    while (!at_end()) {
      const char c = text_[at_];
      if (in_flow && std::string_view(",[]{}").find(c) != std::string_view::npos) break;
      if (in_flow && c == ':' && (at_ + 1 == text_.size() || text_[at_ + 1] == ' ')) break;
      if (c == '#' && at_ > start && text_[at_ - 1] == ' ') break;
      ++at_;
    }
    const absl::string_view value =
        absl::StripAsciiWhitespace(absl::string_view(text_.data() + start, at_ - start));
    for (const absl::string_view null : {"", "~", "null", "Null", "NULL"}) {
      if (value == null) return nullptr;
    }
    return std::string(value);
  }

  // After an element: consumes ',' (then true in `more`) or `close`. False when neither follows.
  bool Separator(char close, bool& more) {
    SkipBlanks();
    if (at_end() || (text_[at_] != ',' && text_[at_] != close)) return false;
    more = text_[at_++] == ',';
    return true;
  }
  bool Consume(char c) {
    SkipBlanks();
    if (at_end() || text_[at_] != c) return false;
    ++at_;
    return true;
  }

  std::optional<json> Sequence(int depth) {
    ++at_;
    json items = json::array();
    for (bool more = true; more;) {
      if (Consume(']')) break;
      auto item = Value(/*in_flow=*/true, depth + 1);
      if (!item || !Separator(']', more)) return std::nullopt;
      items.push_back(*std::move(item));
    }
    return items;
  }

  std::optional<json> Mapping(int depth) {
    ++at_;
    json members = json::object();
    for (bool more = true; more;) {
      if (Consume('}')) break;
      const auto key = Value(/*in_flow=*/true, depth + 1);
      if (!key || !key->is_string()) return std::nullopt;
      json value;
      if (Consume(':')) {
        SkipBlanks();
        if (!at_end() && text_[at_] != ',' && text_[at_] != '}') {
          auto read = Value(/*in_flow=*/true, depth + 1);
          if (!read) return std::nullopt;
          value = *std::move(read);
        }
      }
      if (!Separator('}', more)) return std::nullopt;
      members[key->get<std::string>()] = std::move(value);
    }
    return members;
  }

  std::string_view text_;
  size_t at_ = 0;
};

// "key: rest" → key and where `rest` begins in `text`; nullopt for anything else.
std::optional<std::pair<std::string, size_t>> SplitKey(std::string_view text) {
  if (text.empty() || text.starts_with("- ")) return std::nullopt;
  if (text[0] == '"' || text[0] == '\'') {
    FlowReader reader(text);
    const auto key = reader.Quoted();
    if (!key) return std::nullopt;
    size_t colon = reader.position();
    while (colon < text.size() && text[colon] == ' ') ++colon;
    const bool is_key = colon < text.size() && text[colon] == ':' &&
                        (colon + 1 == text.size() || text[colon + 1] == ' ');
    if (!is_key) return std::nullopt;
    return std::pair(key->get<std::string>(), colon + 1);
  }
  if (std::string_view("[]{}&*!|>%@`#,?").find(text[0]) != std::string_view::npos) {
    return std::nullopt;
  }
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '#' && i > 0 && text[i - 1] == ' ') return std::nullopt;
    if (text[i] == ':' && (i + 1 == text.size() || text[i + 1] == ' ')) {
      const auto key = absl::StripTrailingAsciiWhitespace(absl::string_view(text.data(), i));
      return std::pair(std::string(key), i + 1);
    }
  }
  return std::nullopt;
}

// A plain word that YAML 1.1 takes for a truth value becomes one.
void MakeBoolean(json& value) {
  if (!value.is_string()) return;
  for (const auto& [word, truth] :
       {std::pair("yes", true), std::pair("no", false), std::pair("true", true),
        std::pair("false", false), std::pair("on", true), std::pair("off", false)}) {
    std::string capital(word);
    capital[0] = absl::ascii_toupper(static_cast<unsigned char>(capital[0]));
    const auto& text = value.get_ref<const std::string&>();
    if (text == word || text == capital || text == absl::AsciiStrToUpper(word)) {
      value = truth;
      return;
    }
  }
}

class BlockReader {
 public:
  explicit BlockReader(std::vector<Line> lines) : lines_(std::move(lines)) {}

  json Document() {
    json entries = json::object();
    while (Next()) {
      const size_t start = at_;
      if (lines_[at_].indent == 0 && Entry(0, 0, entries)) continue;
      // Leave this entry out: go on with the next line that can begin one.
      at_ = start + 1;
      while (at_ < lines_.size() &&
             (lines_[at_].empty() || lines_[at_].indent > 0 || !SplitKey(lines_[at_].text))) {
        ++at_;
      }
    }
    return entries;
  }

 private:
  // Steps over blank lines and comments; whether a line is left.
  bool Next() {
    while (at_ < lines_.size() && (lines_[at_].empty() || lines_[at_].is_comment())) ++at_;
    return at_ < lines_.size();
  }

  // The node that begins at the current line.
  std::optional<json> Node(int depth) {
    if (depth > kMaxDepth) return std::nullopt;
    const size_t indent = lines_[at_].indent;
    if (lines_[at_].is_item()) return Sequence(indent, depth);
    if (SplitKey(lines_[at_].text)) return Mapping(indent, depth);
    std::string text = lines_[at_].text;
    return Inline(std::move(text), indent == 0 ? 0 : indent - 1, depth);
  }

  std::optional<json> Mapping(size_t indent, int depth) {
    json members = json::object();
    while (Next() && lines_[at_].indent >= indent) {
      if (lines_[at_].indent > indent || !Entry(indent, depth, members)) return std::nullopt;
    }
    return members;
  }

  // One "key: value" of a mapping at `indent`; at_ is then behind it. False when malformed.
  bool Entry(size_t indent, int depth, json& members) {
    const auto split = SplitKey(lines_[at_].text);
    if (!split) return false;
    std::string rest(absl::StripAsciiWhitespace(lines_[at_].text.substr(split->second)));
    std::optional<json> value;
    if (rest.empty() || rest[0] == '#') {
      ++at_;
      value = json();
      if (Next() && (lines_[at_].indent > indent ||
                     (lines_[at_].indent == indent && lines_[at_].is_item()))) {
        value = Node(depth + 1);
      }
    } else {
      const bool quoted = rest[0] == '"' || rest[0] == '\'';
      value = Inline(std::move(rest), indent, depth + 1);
      if (value && !quoted) MakeBoolean(*value);
    }
    if (!value || (Next() && lines_[at_].indent > indent)) return false;
    members[split->first] = *std::move(value);
    return true;
  }

  std::optional<json> Sequence(size_t indent, int depth) {
    json items = json::array();
    while (Next() && lines_[at_].indent == indent && lines_[at_].is_item()) {
      Line& line = lines_[at_];
      const std::string rest(absl::StripLeadingAsciiWhitespace(line.text.substr(1)));
      std::optional<json> item;
      if (rest.empty() || rest[0] == '#') {
        ++at_;
        item = json();
        if (Next() && lines_[at_].indent > indent) item = Node(depth + 1);
      } else {
        Line content{line.indent + line.text.size() - rest.size(), rest};
        if (content.is_item() || SplitKey(rest)) {
          line = std::move(content);  // what follows the dash stands as a block of its own
          item = Node(depth + 1);
        } else {
          item = Inline(rest, indent, depth + 1);
        }
      }
      if (!item) return std::nullopt;
      items.push_back(*std::move(item));
    }
    if (Next() && lines_[at_].indent > indent) return std::nullopt;
    return items;
  }

  // A scalar or flow value that begins with `text` on the current line and goes on over lines that
  // are indented deeper than `indent`.
  std::optional<json> Inline(std::string text, size_t indent, int depth) {
    ++at_;
    if (text[0] == '|' || text[0] == '>') return Block(text, indent);
    const bool quoted = text[0] == '"' || text[0] == '\'';
    const bool open = quoted || text[0] == '[' || text[0] == '{';
    size_t blank_lines = 0;
    for (size_t lines = 0; at_ < lines_.size(); ++lines) {
      if (open) {
        if (lines > kMaxValueLines) return std::nullopt;
        FlowReader reader(text);
        if (reader.Value(/*in_flow=*/false, depth)) break;
      }
      const Line& line = lines_[at_];
      if (line.empty()) {
        ++blank_lines;
      } else if (line.indent <= indent && !(open && IsClosing(line))) {
        break;
      } else if (!line.is_comment()) {
        // Folding: a line end is a blank, n blank lines are n line ends.
        text += blank_lines == 0 ? std::string(1, ' ') : std::string(blank_lines, '\n');
        text += line.text;
        blank_lines = 0;
      }
      ++at_;
    }
    FlowReader reader(text);
    auto value = reader.Value(/*in_flow=*/false, depth);
    if (!value || !reader.Finished()) return std::nullopt;
    return value;
  }

  static bool IsClosing(const Line& line) { return line.text[0] == ']' || line.text[0] == '}'; }

  // A literal (|) or folded (>) block; `header` is that sign with its indicators.
  json Block(std::string_view header, size_t indent) {
    const bool folded = header[0] == '>';
    const bool strip = header.find('-') != std::string_view::npos;
    std::string value;
    std::optional<size_t> margin;
    size_t blank_lines = 0;
    for (; at_ < lines_.size(); ++at_) {
      const Line& line = lines_[at_];
      if (line.empty()) {
        ++blank_lines;
        continue;
      }
      if (line.indent <= indent) break;
      if (!margin) margin = line.indent;
      if (!value.empty()) {
        if (folded) {
          value += blank_lines == 0 ? std::string(1, ' ') : std::string(blank_lines, '\n');
        } else {
          value += std::string(blank_lines + 1, '\n');
        }
      }
      blank_lines = 0;
      if (line.indent > *margin) value += std::string(line.indent - *margin, ' ');
      value += line.text;
    }
    if (!strip && !value.empty()) value += '\n';
    return value;
  }

  std::vector<Line> lines_;
  size_t at_ = 0;
};

}  // namespace

json ParseFrontMatter(std::string_view readme) {
  // Line ends of any system; a tab counts as two blanks.
  const std::string text = absl::StrReplaceAll(absl::string_view(readme.data(), readme.size()),
                                               {{"\r\n", "\n"}, {"\r", "\n"}, {"\t", "  "}});
  if (!simdjson::validate_utf8(text.data(), text.size())) return json::object();
  std::vector<Line> lines;
  bool started = false;
  for (const absl::string_view raw : absl::StrSplit(text, '\n')) {
    const bool is_mark = raw == "---";
    if (started && is_mark) return BlockReader(std::move(lines)).Document();
    if (!started && !is_mark) break;
    if (started) {
      const absl::string_view body = absl::StripLeadingAsciiWhitespace(raw);
      lines.push_back(
          {raw.size() - body.size(), std::string(absl::StripTrailingAsciiWhitespace(body))});
    }
    started = true;
  }
  return json::object();
}

}  // namespace quantized
