#include "core/hf/tokenizer/tokenizer_json.h"

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "core/base/str_cat.h"

namespace quantized::tokenizer {
namespace {

using nlohmann::json;

json AddedTokens(const TokenizerFile& file) {
  json tokens = json::array();
  for (const AddedToken& token : file.added_tokens) {
    tokens.push_back({{"id", token.id},
                      {"content", token.content},
                      {"single_word", token.single_word},
                      {"lstrip", token.lstrip},
                      {"rstrip", token.rstrip},
                      {"normalized", token.normalized},
                      {"special", token.special}});
  }
  return tokens;
}

json TextOrNull(const std::string& text) { return text.empty() ? json() : json(text); }

// Everything but the vocabulary and the merges, with a place for these at the model's end.
std::string Frame(const TokenizerFile& file) {
  const BpeOptions& options = file.options;
  json frame = {{"version", "1.0"},
                {"truncation", nullptr},
                {"padding", nullptr},
                {"added_tokens", AddedTokens(file)},
                {"normalizer", file.normalizer},
                {"pre_tokenizer", file.pre_tokenizer},
                {"post_processor", file.post_processor},
                {"decoder", file.decoder}};
  const json model = {{"type", file.model_type},
                      {"dropout", nullptr},
                      {"unk_token", TextOrNull(options.unk_token)},
                      {"continuing_subword_prefix", TextOrNull(options.continuing_subword_prefix)},
                      {"end_of_word_suffix", TextOrNull(options.end_of_word_suffix)},
                      {"fuse_unk", options.fuse_unk},
                      {"byte_fallback", options.byte_fallback},
                      {"ignore_merges", options.ignore_merges}};
  std::string text = frame.dump();
  text.pop_back();
  StrAppend(&text, ",\n\"model\":", model.dump());
  text.pop_back();
  return text;
}

}  // namespace

std::string TokenizerJsonText(const TokenizerFile& file) {
  std::vector<std::string> quoted(file.vocabulary.end_id());  // empty where there is no token
  for (uint32_t id = 0; id < quoted.size(); ++id) {
    const std::optional<std::string_view> token = file.vocabulary.TextOf(id);
    if (token.has_value()) quoted[id] = json(*token).dump();
  }
  std::string text = Frame(file);
  text += ",\n\"vocab\":{";
  std::string_view separator = "\n";
  for (uint32_t id = 0; id < quoted.size(); ++id) {
    if (quoted[id].empty()) continue;
    StrAppend(&text, separator, quoted[id], ":", id);
    separator = ",\n";
  }
  text += "},\n\"merges\":[";
  separator = "\n";
  for (const auto& [left, right] : file.merges) {
    StrAppend(&text, separator, "[", quoted[left], ",", quoted[right], "]");
    separator = ",\n";
  }
  text += "]}}\n";
  return text;
}

}  // namespace quantized::tokenizer
