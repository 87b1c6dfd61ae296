#include "core/hf/tokenizer/normalizer.h"

#include <cstdint>
#include <utility>

#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/hf/tokenizer/byte_alphabet.h"
#include "core/hf/tokenizer/component_json.h"
#include "core/hf/tokenizer/regex.h"
#include "core/hf/tokenizer/unicode.h"

namespace quantized::tokenizer {
namespace {

using Steps = std::vector<std::unique_ptr<NormalizerStep>>;

// Steps of a hostile file could double the text again and again. Normal forms make it at most 18
// times as long, replacements of blanks three times.
size_t MaxNormalizedBytes(size_t text_bytes) { return (size_t{1} << 20) + 64 * text_bytes; }

absl::Status GrowsTooMuch(size_t text_bytes) {
  return MakeError(Error::kValidationFailed,
                   StrCat("normalizer: a text of ", text_bytes, " bytes grows beyond ",
                          MaxNormalizedBytes(text_bytes)));
}

class UnicodeForm : public NormalizerStep {
 public:
  explicit UnicodeForm(NormalForm form) : form_(form) {}
  absl::StatusOr<std::string> Apply(std::string text) const override {
    std::optional<std::string> normal = Normalize(text, form_);
    if (!normal.has_value()) {
      return MakeError(Error::kValidationFailed,
                       StrCat("text of ", text.size(), " bytes cannot be normalised"));
    }
    return *std::move(normal);
  }

 private:
  NormalForm form_;
};

class LowercaseStep : public NormalizerStep {
 public:
  absl::StatusOr<std::string> Apply(std::string text) const override { return Lowercase(text); }
};

class StripAccents : public NormalizerStep {
 public:
  absl::StatusOr<std::string> Apply(std::string text) const override {
    std::string out;
    for (size_t i = 0; i < text.size();) {
      const size_t start = i;
      if (!IsMark(NextCodePoint(text, &i))) out.append(text, start, i - start);
    }
    return out;
  }
};

class Strip : public NormalizerStep {
 public:
  Strip(bool left, bool right) : left_(left), right_(right) {}
  absl::StatusOr<std::string> Apply(std::string text) const override {
    size_t begin = 0;
    size_t end = text.size();
    for (size_t i = 0; left_ && i < text.size(); begin = i) {
      if (!IsWhiteSpace(NextCodePoint(text, &i))) break;
    }
    while (right_ && end > begin && IsWhiteSpace(LastCodePoint(text, end))) {
      do {
        --end;
      } while ((static_cast<unsigned char>(text[end]) & 0xC0) == 0x80);
    }
    return text.substr(begin, end - begin);
  }

 private:
  bool left_;
  bool right_;
};

class Prepend : public NormalizerStep {
 public:
  explicit Prepend(std::string prefix) : prefix_(std::move(prefix)) {}
  absl::StatusOr<std::string> Apply(std::string text) const override {
    return text.empty() ? text : StrCat(prefix_, text);
  }

 private:
  std::string prefix_;
};

class Replace : public NormalizerStep {
 public:
  Replace(Regex pattern, std::string content)
      : pattern_(std::move(pattern)), content_(std::move(content)) {}
  absl::StatusOr<std::string> Apply(std::string text) const override {
    ASSIGN_OR_RETURN(const std::vector<Regex::Match> matches, pattern_.FindAll(text));
    if (content_.size() * matches.size() > MaxNormalizedBytes(text.size())) {
      return GrowsTooMuch(text.size());
    }
    std::string out;
    size_t done = 0;
    for (const Regex::Match& match : matches) {
      out.append(text, done, match.begin - done);
      out += content_;
      done = match.end;
    }
    out.append(text, done);
    return out;
  }

 private:
  Regex pattern_;
  std::string content_;
};

class ByteLetters : public NormalizerStep {
 public:
  absl::StatusOr<std::string> Apply(std::string text) const override {
    std::string out;
    for (const char c : text) AppendUtf8(LetterOfByte(static_cast<uint8_t>(c)), &out);
    return out;
  }
};

absl::Status AppendSteps(const Component& component, Steps* steps) {
  const std::string& type = component.type();
  if (type == "Sequence") {
    ASSIGN_OR_RETURN(const std::vector<Component> members, component.Members("normalizers"));
    for (const Component& member : members) RETURN_IF_ERROR(AppendSteps(member, steps));
    if (steps->size() > kMaxComponents) {
      return component.Wrong("normalizers", StrCat(steps->size(), " in all"),
                             StrCat("at most ", kMaxComponents));
    }
  } else if (type == "NFC") {
    steps->push_back(std::make_unique<UnicodeForm>(NormalForm::kNfc));
  } else if (type == "NFD") {
    steps->push_back(std::make_unique<UnicodeForm>(NormalForm::kNfd));
  } else if (type == "NFKC") {
    steps->push_back(std::make_unique<UnicodeForm>(NormalForm::kNfkc));
  } else if (type == "NFKD") {
    steps->push_back(std::make_unique<UnicodeForm>(NormalForm::kNfkd));
  } else if (type == "Lowercase") {
    steps->push_back(std::make_unique<LowercaseStep>());
  } else if (type == "StripAccents") {
    steps->push_back(std::make_unique<StripAccents>());
  } else if (type == "ByteLevel") {
    steps->push_back(std::make_unique<ByteLetters>());
  } else if (type == "Strip") {
    ASSIGN_OR_RETURN(const bool left, component.Bool("strip_left"));
    ASSIGN_OR_RETURN(const bool right, component.Bool("strip_right"));
    steps->push_back(std::make_unique<Strip>(left, right));
  } else if (type == "Prepend") {
    ASSIGN_OR_RETURN(std::string prefix, component.String("prepend"));
    steps->push_back(std::make_unique<Prepend>(std::move(prefix)));
  } else if (type == "Replace") {
    ASSIGN_OR_RETURN(Regex pattern, component.Pattern("pattern"));
    ASSIGN_OR_RETURN(std::string content, component.String("content"));
    steps->push_back(std::make_unique<Replace>(std::move(pattern), std::move(content)));
  } else {
    return component.UnknownType(
        "Sequence, NFC, NFD, NFKC, NFKD, Lowercase, StripAccents, Strip, Prepend, Replace, "
        "ByteLevel");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Normalizer> Normalizer::Parse(const nlohmann::json& json) {
  Normalizer normalizer;
  if (json.is_null()) return normalizer;
  ASSIGN_OR_RETURN(const Component component, Component::Of(json, "normalizer"));
  RETURN_IF_ERROR(AppendSteps(component, &normalizer.steps_));
  return normalizer;
}

absl::StatusOr<std::string> Normalizer::Apply(std::string_view text) const {
  std::string result(text);
  for (const auto& step : steps_) {
    ASSIGN_OR_RETURN(result, step->Apply(std::move(result)));
    if (result.size() > MaxNormalizedBytes(text.size())) return GrowsTooMuch(text.size());
  }
  return result;
}

}  // namespace quantized::tokenizer
