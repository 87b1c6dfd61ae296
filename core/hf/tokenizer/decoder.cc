#include "core/hf/tokenizer/decoder.h"

#include <charconv>
#include <cstdint>
#include <optional>
#include <utility>

#include "absl/strings/str_join.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/hf/tokenizer/byte_alphabet.h"
#include "core/hf/tokenizer/component_json.h"
#include "core/hf/tokenizer/file_error.h"
#include "core/hf/tokenizer/regex.h"
#include "core/hf/tokenizer/unicode.h"

namespace quantized::tokenizer {
namespace {

using Tokens = std::vector<std::string>;
using Steps = std::vector<std::unique_ptr<DecoderStep>>;

// Letters of the byte alphabet become bytes again; a token with any other character stays as it is.
class ByteLetters : public DecoderStep {
 public:
  absl::StatusOr<Tokens> Apply(Tokens tokens) const override {
    std::string bytes;
    for (const std::string& token : tokens) {
      const size_t start = bytes.size();
      for (size_t at = 0; at < token.size();) {
        const std::optional<uint8_t> byte = ByteOfLetter(NextCodePoint(token, &at));
        if (!byte.has_value()) {
          bytes.replace(start, std::string::npos, token);
          break;
        }
        bytes += static_cast<char>(*byte);
      }
    }
    return Tokens{ReplaceInvalidUtf8(bytes)};
  }
};

class Replace : public DecoderStep {
 public:
  Replace(Regex pattern, std::string content)
      : pattern_(std::move(pattern)), content_(std::move(content)) {}
  absl::StatusOr<Tokens> Apply(Tokens tokens) const override {
    for (std::string& token : tokens) {
      ASSIGN_OR_RETURN(const std::vector<Regex::Match> matches, pattern_.FindAll(token));
      std::string out;
      size_t done = 0;
      for (const Regex::Match& match : matches) {
        StrAppend(&out, token.substr(done, match.begin - done), content_);
        done = match.end;
      }
      out.append(token, done);
      token = std::move(out);
    }
    return tokens;
  }

 private:
  Regex pattern_;
  std::string content_;
};

// A run of <0xNN> becomes its bytes where they are UTF-8, else a U+FFFD for each.
class ByteFallback : public DecoderStep {
 public:
  absl::StatusOr<Tokens> Apply(Tokens tokens) const override {
    Tokens out;
    std::string bytes;
    const auto flush = [&] {
      if (bytes.empty()) return;
      if (!FindInvalidUtf8(bytes).has_value()) {
        out.push_back(bytes);
      } else {
        out.insert(out.end(), bytes.size(), "\xEF\xBF\xBD");
      }
      bytes.clear();
    };
    for (std::string& token : tokens) {
      if (const std::optional<char> byte = ByteOf(token)) {
        bytes += *byte;
      } else {
        flush();
        out.push_back(std::move(token));
      }
    }
    flush();
    return out;
  }

 private:
  static std::optional<char> ByteOf(std::string_view token) {
    uint8_t value = 0;
    if (token.size() != 6 || !token.starts_with("<0x") || token.back() != '>' ||
        std::from_chars(token.data() + 3, token.data() + 5, value, 16).ptr != token.data() + 5) {
      return std::nullopt;
    }
    return static_cast<char>(value);
  }
};

class Fuse : public DecoderStep {
 public:
  absl::StatusOr<Tokens> Apply(Tokens tokens) const override {
    return Tokens{absl::StrJoin(tokens, "")};
  }
};

// Up to `start` times `content` from the front of each token, up to `stop` times from its end.
class Strip : public DecoderStep {
 public:
  Strip(std::string content, uint64_t start, uint64_t stop)
      : content_(std::move(content)), start_(start), stop_(stop) {}
  absl::StatusOr<Tokens> Apply(Tokens tokens) const override {
    for (std::string& token : tokens) {
      std::string_view kept = token;
      for (uint64_t i = 0; i < start_ && kept.starts_with(content_); ++i) {
        kept.remove_prefix(content_.size());
      }
      for (uint64_t i = 0; i < stop_ && kept.ends_with(content_); ++i) {
        kept.remove_suffix(content_.size());
      }
      token = std::string(kept);
    }
    return tokens;
  }

 private:
  std::string content_;
  uint64_t start_;
  uint64_t stop_;
};

// Marks become blanks again; those of the first token go where the encoder had put one.
class Metaspace : public DecoderStep {
 public:
  Metaspace(std::string mark, bool prepended) : mark_(std::move(mark)), prepended_(prepended) {}
  absl::StatusOr<Tokens> Apply(Tokens tokens) const override {
    for (size_t i = 0; i < tokens.size(); ++i) {
      const std::string_view blank = i == 0 && prepended_ ? "" : " ";
      std::string out;
      size_t done = 0;
      for (size_t at = tokens[i].find(mark_); at != std::string::npos;
           at = tokens[i].find(mark_, done)) {
        StrAppend(&out, tokens[i].substr(done, at - done), blank);
        done = at + mark_.size();
      }
      out.append(tokens[i], done);
      tokens[i] = std::move(out);
    }
    return tokens;
  }

 private:
  std::string mark_;
  bool prepended_;
};

absl::Status AppendSteps(const Component& component, Steps* steps) {
  const std::string& type = component.type();
  if (type == "Sequence") {
    ASSIGN_OR_RETURN(const std::vector<Component> members, component.Members("decoders"));
    for (const Component& member : members) RETURN_IF_ERROR(AppendSteps(member, steps));
    if (steps->size() > kMaxComponents) {
      return component.Wrong("decoders", StrCat(steps->size(), " steps in all"),
                             StrCat("at most ", kMaxComponents));
    }
  } else if (type == "ByteLevel") {
    steps->push_back(std::make_unique<ByteLetters>());
  } else if (type == "ByteFallback") {
    steps->push_back(std::make_unique<ByteFallback>());
  } else if (type == "Fuse") {
    steps->push_back(std::make_unique<Fuse>());
  } else if (type == "Replace") {
    ASSIGN_OR_RETURN(Regex pattern, component.Pattern("pattern"));
    ASSIGN_OR_RETURN(std::string content, component.String("content"));
    steps->push_back(std::make_unique<Replace>(std::move(pattern), std::move(content)));
  } else if (type == "Strip") {
    ASSIGN_OR_RETURN(std::string content, component.Character("content"));
    ASSIGN_OR_RETURN(const uint64_t start, component.Unsigned("start"));
    ASSIGN_OR_RETURN(const uint64_t stop, component.Unsigned("stop"));
    steps->push_back(std::make_unique<Strip>(std::move(content), start, stop));
  } else if (type == "Metaspace") {
    ASSIGN_OR_RETURN(std::string mark, component.Character("replacement"));
    ASSIGN_OR_RETURN(const bool prefix, component.Bool("add_prefix_space", true));
    ASSIGN_OR_RETURN(const std::string scheme,
                     component.String("prepend_scheme", prefix ? "always" : "never"));
    steps->push_back(std::make_unique<Metaspace>(std::move(mark), scheme != "never"));
  } else {
    return component.UnknownType(
        "Sequence, ByteLevel, ByteFallback, Fuse, Replace, Strip, Metaspace");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Decoder> Decoder::Parse(const nlohmann::json& json) {
  Decoder decoder;
  if (json.is_null()) return decoder;
  decoder.absent_ = false;
  ASSIGN_OR_RETURN(const Component component, Component::Of(json, "decoder"));
  RETURN_IF_ERROR(AppendSteps(component, &decoder.steps_));
  return decoder;
}

absl::StatusOr<std::string> Decoder::Apply(std::vector<std::string> tokens) const {
  for (const auto& step : steps_) {
    ASSIGN_OR_RETURN(tokens, step->Apply(std::move(tokens)));
  }
  return absl::StrJoin(tokens, absent_ ? " " : "");
}

}  // namespace quantized::tokenizer
