#include "core/hf/model_name.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "core/base/str_cat.h"

namespace quantized {
namespace {

bool IsDigit(char c) { return absl::ascii_isdigit(static_cast<unsigned char>(c)); }
bool IsLetter(char c) { return absl::ascii_isalpha(static_cast<unsigned char>(c)); }
bool IsWord(char c) { return IsDigit(c) || IsLetter(c) || c == '_'; }

// A cursor over a lower-case name part: the small grammars below are written with it.
class Matcher {
 public:
  explicit Matcher(std::string_view text) : rest_(text) {}

  bool Take(std::string_view literal) {
    if (!rest_.starts_with(literal)) return false;
    rest_.remove_prefix(literal.size());
    return true;
  }
  bool TakeOneOf(std::string_view chars) {
    if (rest_.empty() || chars.find(rest_[0]) == std::string_view::npos) return false;
    rest_.remove_prefix(1);
    return true;
  }
  bool TakeDigits() {
    const size_t size = std::find_if_not(rest_.begin(), rest_.end(), IsDigit) - rest_.begin();
    rest_.remove_prefix(size);
    return size > 0;
  }
  bool done() const { return rest_.empty(); }
  std::string_view rest() const { return rest_; }

 private:
  std::string_view rest_;
};

// (v|iter)?D(.D)*, where D is one or more digits.
bool IsVersion(std::string_view part) {
  Matcher match(part);
  if (!match.Take("iter")) match.Take("v");
  do {
    if (!match.TakeDigits()) return false;
  } while (match.Take("."));
  return match.done();
}

// i?qN(_X)* with one-character X, or b?fp?(16|32): a quantization that stands in the name.
bool IsEncoding(std::string_view part) {
  Matcher quantized(part);
  quantized.Take("i");
  if (quantized.Take("q") && quantized.TakeOneOf("0123456789")) {
    std::string_view rest = quantized.rest();
    while (rest.size() >= 2 && rest[0] == '_' && IsWord(rest[1])) rest.remove_prefix(2);
    if (rest.empty()) return true;
  }
  Matcher plain(part);
  plain.Take("b");
  if (!plain.Take("f")) return false;
  plain.Take("p");
  return (plain.Take("16") || plain.Take("32")) && plain.done();
}

// (A|Nx)?N([._]N)?[KMBT]N? with digits N (the last a single one), or a word for a size.
bool IsSize(std::string_view part) {
  for (const std::string_view word : {"small", "mini", "medium", "large", "xl", "xxl"}) {
    if (part == word) return true;
  }
  const auto number = [](Matcher match) {
    if (!match.TakeDigits()) return false;
    const Matcher whole = match;
    if (!(match.TakeOneOf("._") && match.TakeDigits())) match = whole;
    if (!match.TakeOneOf("kmbt")) return false;
    match.TakeOneOf("0123456789");
    return match.done();
  };
  Matcher match(part);
  if (number(match)) return true;
  if (match.Take("a")) return number(match);
  return match.TakeDigits() && match.Take("x") && number(match);
}

bool IsFinetune(std::string_view part) {
  for (const std::string_view word : {"chat", "instruct", "vision", "lora"}) {
    if (part == word) return true;
  }
  return false;
}

struct Part {
  std::string text;
  bool basename = false, size = false, finetune = false, version = false, encoding = false;

  int marks() const { return basename + size + finetune + version + encoding; }
};

// The parameters that a size stands for: "1.5B"; nullopt for a word, a factor ("8x7B") or an active
// part ("A3B").
std::optional<double> ParametersOf(std::string_view size) {
  const size_t unit = std::string_view(" KMBT").find(size.back());
  double number = 0;
  if (unit == std::string_view::npos ||
      !absl::SimpleAtod(absl::string_view(size.data(), size.size() - 1), &number)) {
    return std::nullopt;
  }
  return number * std::pow(1000.0, static_cast<double>(unit));
}

// "1_6b" → "1.6B", "7b1" → "7.1B". One that is far off the model's parameters is a context length
// or the like, and counts as a fine-tune.
void MarkSize(uint64_t parameters, Part& part) {
  std::string& text = part.text;
  std::replace(text.begin(), text.end(), '_', '.');
  if (IsDigit(text.back())) {
    const size_t size = text.size();
    text = StrCat(text.substr(0, size - 2), ".", text.substr(size - 1), text.substr(size - 2, 1));
  }
  const bool has_unit = text.size() > 1 && IsDigit(text[text.size() - 2]);
  if (has_unit) text.back() = absl::ascii_toupper(static_cast<unsigned char>(text.back()));
  if (const auto said = ParametersOf(text); said && parameters > 0) {
    const double off = std::fabs(*said - static_cast<double>(parameters));
    // 7/8 of the parameters, rounded down; in 128 bits, for 7 times may overflow 64.
    const unsigned __int128 most = static_cast<unsigned __int128>(parameters) * 7 / 8;
    if (off > static_cast<double>(most)) {
      part.finetune = true;
      text.back() = absl::ascii_tolower(static_cast<unsigned char>(text.back()));
    }
  }
  if (!part.finetune) part.size = true;
}

void MarkParts(uint64_t parameters, std::vector<Part>& parts) {
  for (size_t i = 0; i < parts.size(); ++i) {
    Part& part = parts[i];
    const std::string lower = absl::AsciiStrToLower(part.text);
    if (IsVersion(lower)) {
      part.version = true;
    } else if (IsEncoding(lower)) {
      part.encoding = true;
      part.text = absl::AsciiStrToUpper(part.text);
    } else if (i > 0 && IsSize(lower)) {
      MarkSize(parameters, part);
    } else if (i > 0 && IsFinetune(lower)) {
      part.finetune = true;
    }
  }
}

// A word for a size does not count beside a number.
void DropSizeWords(std::vector<Part>& parts) {
  const bool has_number = std::any_of(parts.begin(), parts.end(), [](const Part& part) {
    return part.size && std::any_of(part.text.begin(), part.text.end(), IsDigit);
  });
  if (!has_number) return;
  for (Part& part : parts) {
    if (std::all_of(part.text.begin(), part.text.end(), IsLetter)) part.size = false;
  }
}

bool BeginsWithLetter(std::string_view text) {
  utf8proc_int32_t code = 0;
  const auto* bytes = reinterpret_cast<const utf8proc_uint8_t*>(text.data());
  if (utf8proc_iterate(bytes, static_cast<utf8proc_ssize_t>(text.size()), &code) < 0) return false;
  const auto category = utf8proc_category(code);
  return category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO;
}

// The parts before the first one that is marked as anything but a version; a version at the end of
// the name does not belong to it.
void MarkBasename(std::vector<Part>& parts) {
  bool at_start = true;
  for (Part& part : parts) {
    const bool unmarked = part.marks() == 0;
    if (at_start && ((unmarked && BeginsWithLetter(part.text)) || part.version)) {
      part.basename = true;
    } else {
      at_start = false;
      if (unmarked) part.finetune = true;
    }
  }
  for (auto part = parts.rbegin(); part != parts.rend(); ++part) {
    if (!part->basename || part->marks() < 2) break;
    part->basename = false;
  }
}

template <typename Chosen>
std::optional<std::string> Join(const std::vector<Part>& parts, Chosen chosen, bool once = false) {
  std::vector<std::string> texts;
  for (const Part& part : parts) {
    if (!chosen(part)) continue;
    if (once && std::find(texts.begin(), texts.end(), part.text) != texts.end()) continue;
    texts.push_back(part.text);
  }
  if (texts.empty()) return std::nullopt;
  return absl::StrJoin(texts, "-");
}

}  // namespace

ModelNameParts ParseModelName(std::string_view id, uint64_t parameters) {
  ModelNameParts name;
  name.full_name = id;
  if (id.find(' ') != std::string_view::npos) return name;  // a sentence, not an id
  if (const size_t slash = id.find('/'); slash != std::string_view::npos) {
    const std::string_view organization = id.substr(0, slash);
    // "./name" and "../name" are paths.
    if (organization.empty() || organization[0] != '.') name.organization = organization;
    name.full_name = id.substr(slash + 1);
  }

  std::vector<Part> parts;
  for (const absl::string_view text : absl::StrSplit(name.full_name, '-', absl::SkipEmpty())) {
    parts.push_back({.text = std::string(text)});
  }
  MarkParts(parameters, parts);
  DropSizeWords(parts);
  MarkBasename(parts);

  name.size_label = Join(
      parts, [](const Part& part) { return part.size; }, /*once=*/true);
  name.finetune = Join(parts, [](const Part& part) { return part.finetune; });
  name.version = Join(parts, [](const Part& part) { return part.version && !part.basename; });
  if (name.size_label || name.finetune || name.version) {
    name.basename = Join(parts, [](const Part& part) { return part.basename; });
  }
  return name;
}

namespace {

struct CasedWord {
  bool all_lower = false;  // has letters with case, none of them upper or title case
  std::string title;
};

// Each letter with case becomes upper case (title case, where that differs) after one without case
// or at the start, else lower case. Bytes that are not UTF-8 stay.
CasedWord Capitalise(std::string_view word) {
  CasedWord result;
  bool any_lower = false, any_upper = false, after_cased = false;
  for (size_t at = 0; at < word.size();) {
    utf8proc_int32_t code = 0;
    const auto* bytes = reinterpret_cast<const utf8proc_uint8_t*>(word.data() + at);
    const auto size =
        utf8proc_iterate(bytes, static_cast<utf8proc_ssize_t>(word.size() - at), &code);
    if (size < 1) {
      result.title += word[at++];
      after_cased = false;
      continue;
    }
    const auto category = utf8proc_category(code);
    const bool lower = category == UTF8PROC_CATEGORY_LL;
    const bool upper = category == UTF8PROC_CATEGORY_LU || category == UTF8PROC_CATEGORY_LT;
    any_lower |= lower;
    any_upper |= upper;
    if (lower || upper) code = after_cased ? utf8proc_tolower(code) : utf8proc_totitle(code);
    after_cased = lower || upper;
    std::array<utf8proc_uint8_t, 4> encoded;
    const auto encoded_size = utf8proc_encode_char(code, encoded.data());
    result.title.append(reinterpret_cast<const char*>(encoded.data()),
                        static_cast<size_t>(encoded_size));
    at += static_cast<size_t>(size);
  }
  result.all_lower = any_lower && !any_upper;
  return result;
}

// v?N(.N)*, or anything that begins with a digit.
bool KeepsItsCase(std::string_view word) {
  return IsDigit(word[0]) || (word[0] == 'v' && IsVersion(word));
}

}  // namespace

std::string TitleOfName(std::string_view name) {
  std::string spaced(name);
  std::replace(spaced.begin(), spaced.end(), '-', ' ');
  std::vector<std::string> words =
      absl::StrSplit(spaced, absl::ByAnyChar(" \t\n\r\f\v"), absl::SkipEmpty());
  for (std::string& word : words) {
    CasedWord cased = Capitalise(word);
    if (cased.all_lower && !KeepsItsCase(word)) word = std::move(cased.title);
  }
  return absl::StrJoin(words, " ");
}

std::string SizeLabel(uint64_t parameters) {
  const auto count = static_cast<double>(parameters);
  struct Unit {
    double above, scale;
    char letter;
  };
  constexpr std::array kUnits = {Unit{1e12, 1e-12, 'T'}, Unit{1e9, 1e-9, 'B'}, Unit{1e6, 1e-6, 'M'},
                                 Unit{-1, 1e-3, 'K'}};
  const Unit& unit =
      *std::find_if(kUnits.begin(), kUnits.end(), [&](const Unit& u) { return count > u.above; });
  const double scaled = count * unit.scale;
  // Two digits at least; both roundings are to even, as in the reference.
  const double rounded = std::nearbyint(scaled);
  const int digits = rounded == 0 ? 0 : rounded < 10 ? 1 : 2;
  return absl::StrFormat("%.*f%c", 2 - digits, scaled, unit.letter);
}

}  // namespace quantized
