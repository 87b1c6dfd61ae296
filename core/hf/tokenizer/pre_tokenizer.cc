#include "core/hf/tokenizer/pre_tokenizer.h"

#include <array>
#include <cstdint>
#include <optional>
#include <utility>

#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/hf/tokenizer/byte_alphabet.h"
#include "core/hf/tokenizer/component_json.h"
#include "core/hf/tokenizer/file_error.h"
#include "core/hf/tokenizer/regex.h"
#include "core/hf/tokenizer/unicode.h"

namespace quantized::tokenizer {
namespace {

using Steps = std::vector<std::unique_ptr<PreTokenizerStep>>;

// GPT-2's pattern, which ByteLevel uses unless told otherwise.
constexpr std::string_view kByteLevelPattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

// What becomes of the delimiters of a split.
enum class Behavior { kRemoved, kIsolated, kMergedWithPrevious, kMergedWithNext, kContiguous };

constexpr std::array<std::pair<std::string_view, Behavior>, 5> kBehaviors = {{
    {"Removed", Behavior::kRemoved},
    {"Isolated", Behavior::kIsolated},
    {"MergedWithPrevious", Behavior::kMergedWithPrevious},
    {"MergedWithNext", Behavior::kMergedWithNext},
    {"Contiguous", Behavior::kContiguous},
}};

absl::StatusOr<Behavior> ParseBehavior(const Component& component,
                                       std::optional<std::string> fallback = {}) {
  ASSIGN_OR_RETURN(const std::string name, component.String("behavior", std::move(fallback)));
  for (const auto& [known, behavior] : kBehaviors) {
    if (known == name) return behavior;
  }
  return component.Wrong(
      "behavior", Quoted(name),
      "one of Removed, Isolated, MergedWithPrevious, MergedWithNext, Contiguous");
}

// A part of a piece, delimiter or not.
struct Part {
  size_t begin = 0;
  size_t end = 0;
  bool delimiter = false;
};

void AppendParts(std::string_view piece, const std::vector<Part>& parts, Behavior behavior,
                 Pieces* out) {
  const auto append = [&](size_t begin, size_t end) {
    out->Append(piece.substr(begin, end - begin));
  };
  switch (behavior) {
    case Behavior::kRemoved:
      for (const Part& part : parts) {
        if (!part.delimiter) append(part.begin, part.end);
      }
      return;
    case Behavior::kIsolated:
      for (const Part& part : parts) append(part.begin, part.end);
      return;
    case Behavior::kContiguous:
      for (size_t i = 0; i < parts.size();) {
        size_t last = i;
        while (last + 1 < parts.size() && parts[last + 1].delimiter == parts[i].delimiter) ++last;
        append(parts[i].begin, parts[last].end);
        i = last + 1;
      }
      return;
    case Behavior::kMergedWithPrevious:
      // A delimiter joins what stands before it, but not another delimiter.
      for (size_t i = 0; i < parts.size(); ++i) {
        const bool joins = !parts[i].delimiter && i + 1 < parts.size() && parts[i + 1].delimiter;
        append(parts[i].begin, parts[joins ? i + 1 : i].end);
        if (joins) ++i;
      }
      return;
    case Behavior::kMergedWithNext:
      // The mirror image: in a run of delimiters only the last joins what follows.
      for (size_t i = 0; i < parts.size(); ++i) {
        const bool joins = parts[i].delimiter && i + 1 < parts.size() && !parts[i + 1].delimiter;
        append(parts[i].begin, parts[joins ? i + 1 : i].end);
        if (joins) ++i;
      }
      return;
  }
}

// Delimiters are what a pattern matches, or with `invert` what lies between.
class Split : public PreTokenizerStep {
 public:
  Split(Regex pattern, Behavior behavior, bool invert)
      : pattern_(std::move(pattern)), behavior_(behavior), invert_(invert) {}

  absl::StatusOr<Pieces> Apply(const Pieces& pieces) const override {
    Pieces out(pieces.at_start());
    out.Reserve(pieces.bytes());
    std::vector<Part> parts;
    for (size_t i = 0; i < pieces.size(); ++i) {
      const std::string_view piece = pieces[i];
      ASSIGN_OR_RETURN(const std::vector<Regex::Match> matches, pattern_.FindAll(piece));
      parts.clear();
      size_t done = 0;
      for (const Regex::Match& match : matches) {
        if (match.begin != done) parts.push_back({done, match.begin, invert_});
        parts.push_back({match.begin, match.end, !invert_});
        done = match.end;
      }
      if (done != piece.size()) parts.push_back({done, piece.size(), invert_});
      AppendParts(piece, parts, behavior_, &out);
    }
    return out;
  }

 private:
  Regex pattern_;
  Behavior behavior_;
  bool invert_;
};

// Delimiters are the characters of a class.
class SplitAtCharacters : public PreTokenizerStep {
 public:
  using Predicate = bool (*)(uint32_t code_point);
  SplitAtCharacters(Predicate predicate, Behavior behavior)
      : predicate_(predicate), behavior_(behavior) {}

  absl::StatusOr<Pieces> Apply(const Pieces& pieces) const override {
    Pieces out(pieces.at_start());
    out.Reserve(pieces.bytes());
    std::vector<Part> parts;
    for (size_t i = 0; i < pieces.size(); ++i) {
      const std::string_view piece = pieces[i];
      parts.clear();
      size_t done = 0;
      for (size_t at = 0; at < piece.size();) {
        const size_t begin = at;
        if (!predicate_(NextCodePoint(piece, &at))) continue;
        if (begin != done) parts.push_back({done, begin, false});
        parts.push_back({begin, at, true});
        done = at;
      }
      if (done != piece.size()) parts.push_back({done, piece.size(), false});
      AppendParts(piece, parts, behavior_, &out);
    }
    return out;
  }

 private:
  Predicate predicate_;
  Behavior behavior_;
};

// A blank before each piece that does not start with one.
class PrefixSpace : public PreTokenizerStep {
 public:
  absl::StatusOr<Pieces> Apply(const Pieces& pieces) const override {
    Pieces out(pieces.at_start());
    for (size_t i = 0; i < pieces.size(); ++i) {
      out.Append(StrCat(pieces[i].starts_with(' ') ? "" : " ", pieces[i]));
    }
    return out;
  }
};

class ByteLetters : public PreTokenizerStep {
 public:
  absl::StatusOr<Pieces> Apply(const Pieces& pieces) const override {
    Pieces out(pieces.at_start());
    out.Reserve(pieces.bytes() * 2);
    std::string letters;
    for (size_t i = 0; i < pieces.size(); ++i) {
      letters.clear();
      for (const char c : pieces[i]) AppendUtf8(LetterOfByte(static_cast<uint8_t>(c)), &letters);
      out.Append(letters);
    }
    return out;
  }
};

// Blanks become `replacement`, and one is put before pieces according to `prefix`.
class MetaspaceMarks : public PreTokenizerStep {
 public:
  enum class Prefix { kAlways, kFirst, kNever };
  MetaspaceMarks(std::string replacement, Prefix prefix)
      : replacement_(std::move(replacement)), prefix_(prefix) {}

  absl::StatusOr<Pieces> Apply(const Pieces& pieces) const override {
    Pieces out(pieces.at_start());
    std::string marked;
    for (size_t i = 0; i < pieces.size(); ++i) {
      marked.clear();
      for (const char c : pieces[i]) {
        if (c == ' ') {
          marked += replacement_;
        } else {
          marked += c;
        }
      }
      const bool first = i == 0 && pieces.at_start();
      const bool prepend = prefix_ == Prefix::kAlways || (prefix_ == Prefix::kFirst && first);
      const bool has_mark = marked.starts_with(replacement_);
      out.Append(prepend && !has_mark ? StrCat(replacement_, marked) : marked);
    }
    return out;
  }

 private:
  std::string replacement_;
  Prefix prefix_;
};

absl::Status AppendByteLevel(const Component& component, Steps* steps) {
  ASSIGN_OR_RETURN(const bool add_prefix_space, component.Bool("add_prefix_space"));
  ASSIGN_OR_RETURN(const bool use_regex, component.Bool("use_regex", true));
  if (add_prefix_space) steps->push_back(std::make_unique<PrefixSpace>());
  if (use_regex) {
    ASSIGN_OR_RETURN(Regex pattern, Regex::Compile(kByteLevelPattern));
    steps->push_back(std::make_unique<Split>(std::move(pattern), Behavior::kIsolated, false));
  }
  steps->push_back(std::make_unique<ByteLetters>());
  return absl::OkStatus();
}

absl::Status AppendMetaspace(const Component& component, Steps* steps) {
  ASSIGN_OR_RETURN(std::string replacement, component.Character("replacement"));
  // Files of older versions have add_prefix_space instead of prepend_scheme.
  ASSIGN_OR_RETURN(const bool add_prefix_space, component.Bool("add_prefix_space", true));
  ASSIGN_OR_RETURN(const std::string scheme,
                   component.String("prepend_scheme", add_prefix_space ? "always" : "never"));
  ASSIGN_OR_RETURN(const bool split, component.Bool("split", true));
  MetaspaceMarks::Prefix prefix = MetaspaceMarks::Prefix::kNever;
  if (scheme == "always") {
    prefix = MetaspaceMarks::Prefix::kAlways;
  } else if (scheme == "first") {
    prefix = MetaspaceMarks::Prefix::kFirst;
  } else if (scheme != "never") {
    return component.Wrong("prepend_scheme", Quoted(scheme), "one of always, first, never");
  }
  steps->push_back(std::make_unique<MetaspaceMarks>(replacement, prefix));
  if (split) {
    steps->push_back(
        std::make_unique<Split>(Regex::Literal(replacement), Behavior::kMergedWithNext, false));
  }
  return absl::OkStatus();
}

absl::Status AppendSteps(const Component& component, Steps* steps) {
  const std::string& type = component.type();
  if (type == "Sequence") {
    ASSIGN_OR_RETURN(const std::vector<Component> members, component.Members("pretokenizers"));
    for (const Component& member : members) RETURN_IF_ERROR(AppendSteps(member, steps));
    if (steps->size() > kMaxComponents) {
      return component.Wrong("pretokenizers", StrCat(steps->size(), " steps in all"),
                             StrCat("at most ", kMaxComponents));
    }
  } else if (type == "ByteLevel") {
    return AppendByteLevel(component, steps);
  } else if (type == "Metaspace") {
    return AppendMetaspace(component, steps);
  } else if (type == "Split") {
    ASSIGN_OR_RETURN(Regex pattern, component.Pattern("pattern"));
    ASSIGN_OR_RETURN(const Behavior behavior, ParseBehavior(component));
    ASSIGN_OR_RETURN(const bool invert, component.Bool("invert", false));
    steps->push_back(std::make_unique<Split>(std::move(pattern), behavior, invert));
  } else if (type == "Digits") {
    ASSIGN_OR_RETURN(const bool individual, component.Bool("individual_digits"));
    steps->push_back(std::make_unique<SplitAtCharacters>(
        IsNumeric, individual ? Behavior::kIsolated : Behavior::kContiguous));
  } else if (type == "Punctuation") {
    ASSIGN_OR_RETURN(const Behavior behavior, ParseBehavior(component, "Isolated"));
    steps->push_back(std::make_unique<SplitAtCharacters>(IsPunctuation, behavior));
  } else if (type == "WhitespaceSplit") {
    steps->push_back(std::make_unique<SplitAtCharacters>(IsWhiteSpace, Behavior::kRemoved));
  } else if (type == "Whitespace") {
    ASSIGN_OR_RETURN(Regex pattern, Regex::Compile(R"(\w+|[^\w\s]+)"));
    steps->push_back(std::make_unique<Split>(std::move(pattern), Behavior::kRemoved, true));
  } else if (type == "CharDelimiterSplit") {
    ASSIGN_OR_RETURN(const std::string delimiter, component.Character("delimiter"));
    steps->push_back(std::make_unique<Split>(Regex::Literal(delimiter), Behavior::kRemoved, false));
  } else {
    return component.UnknownType(
        "Sequence, ByteLevel, Split, Digits, Punctuation, Metaspace, Whitespace, WhitespaceSplit, "
        "CharDelimiterSplit");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<PreTokenizer> PreTokenizer::Parse(const nlohmann::json& json) {
  PreTokenizer pre_tokenizer;
  if (json.is_null()) return pre_tokenizer;
  ASSIGN_OR_RETURN(const Component component, Component::Of(json, "pre_tokenizer"));
  RETURN_IF_ERROR(AppendSteps(component, &pre_tokenizer.steps_));
  return pre_tokenizer;
}

absl::StatusOr<Pieces> PreTokenizer::Apply(std::string_view text, bool at_start) const {
  Pieces pieces(at_start);
  pieces.Append(text);
  for (const auto& step : steps_) {
    ASSIGN_OR_RETURN(pieces, step->Apply(pieces));
  }
  return pieces;
}

}  // namespace quantized::tokenizer
