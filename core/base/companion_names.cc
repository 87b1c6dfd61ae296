#include "core/base/companion_names.h"

#include <algorithm>
#include <string>

#include "absl/strings/ascii.h"

namespace quantized {
namespace {

// A file is taken when its name, in lower case where the rule says so, is or begins or ends with
// the text.
struct Rule {
  enum class Match { kIs, kBegins, kEnds } match;
  std::string_view text;
  bool any_case = false;
};
using enum Rule::Match;
constexpr Rule kRules[] = {
    {kIs, "tokenizer.json"},
    {kIs, "tokenizer.model"},
    {kIs, "tokenizer_config.json"},
    {kIs, "special_tokens_map.json"},
    {kIs, "added_tokens.json"},
    {kIs, "vocab.json"},
    {kIs, "vocab.txt"},
    {kIs, "merges.txt"},
    {kIs, "spiece.model"},
    {kIs, "sentencepiece.bpe.model"},
    {kIs, "tekken.json"},
    {kBegins, "tokenizer.model."},  // tokenizer.model.v3
    {kEnds, ".tiktoken"},
    {kIs, "chat_template.jinja"},
    {kIs, "chat_template.json"},
    {kIs, "generation_config.json"},
    {kIs, "processor_config.json"},
    {kIs, "preprocessor_config.json"},
    {kIs, "image_processor_config.json"},
    {kIs, "video_preprocessor_config.json"},
    {kBegins, "license", true},
    {kBegins, "licence", true},
    {kBegins, "notice", true},
    {kBegins, "copying", true},
    {kBegins, "use_policy", true},
    {kBegins, "third_party_notices", true},
};

bool Takes(const Rule& rule, std::string name) {
  if (rule.any_case) absl::AsciiStrToLower(&name);
  switch (rule.match) {
    case kIs:
      return name == rule.text;
    case kBegins:
      return name.starts_with(rule.text);
    case kEnds:
      return name.ends_with(rule.text);
  }
  return false;
}

}  // namespace

bool IsCompanionName(std::string_view path) {
  if (path.starts_with(kTemplateFolder) && path.ends_with(".jinja")) {
    const std::string_view rest = path.substr(kTemplateFolder.size());
    return rest.front() == '/' && rest.find('/', 1) == std::string_view::npos;
  }
  return path.find('/') == std::string_view::npos &&
         std::ranges::any_of(kRules,
                             [&](const Rule& rule) { return Takes(rule, std::string(path)); });
}

}  // namespace quantized
