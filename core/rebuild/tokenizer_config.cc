#include "core/rebuild/tokenizer_config.h"

#include <algorithm>
#include <string>
#include <string_view>

#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/hf/tokenizer/special_vocabulary.h"
#include "core/hf/tokenizer/unicode.h"
#include "core/rebuild/metadata_values.h"
#include "core/rebuild/token_list.h"
#include "core/rebuild/token_roles.h"

namespace quantized {
namespace {

using nlohmann::json;
using tokenizer::AddedToken;

constexpr std::string_view kTemplate = "tokenizer.chat_template";

// A conversion to GGUF takes Phi-3's for SentencePiece's unless this is their class, as it is
// Phi-4's.
std::string_view ClassOf(const Architecture& architecture, TokenizerKind kind) {
  const bool is_phi4 = architecture.model_type == "phi3" && kind == TokenizerKind::kByteLevel;
  return is_phi4 ? "GPT2Tokenizer" : "PreTrainedTokenizerFast";
}

json Decoder(const tokenizer::TokenizerFile& file) {
  json decoder = json::object();
  for (const AddedToken& token : file.added_tokens) {
    decoder[std::to_string(token.id)] = {
        {"content", token.content}, {"single_word", token.single_word}, {"lstrip", token.lstrip},
        {"rstrip", token.rstrip},   {"normalized", token.normalized},   {"special", token.special}};
  }
  return decoder;
}

// One template as a text; several as a list of names and texts, the one without a name first.
absl::StatusOr<json> ChatTemplates(const gguf::Metadata& metadata) {
  json list = json::array();
  bool is_named = false;
  for (const gguf::Metadata::Entry& entry : metadata.entries()) {
    std::string_view name = entry.key;
    if (!name.starts_with(kTemplate)) continue;
    name.remove_prefix(kTemplate.size());
    if (!name.empty() && (name[0] != '.' || name.size() == 1)) continue;
    ASSIGN_OR_RETURN(const std::string* text, FindText(metadata, entry.key));
    if (const auto bad = tokenizer::FindInvalidUtf8(*text)) {
      return KeyError(entry.key, StrCat("no UTF-8 at byte ", *bad), "UTF-8 text");
    }
    if (name.empty()) {
      list.insert(list.begin(), json{{"name", "default"}, {"template", *text}});
    } else if (!tokenizer::FindInvalidUtf8(name)) {
      list.push_back({{"name", name.substr(1)}, {"template", *text}});
      is_named = true;
    }
  }
  if (list.empty()) return json();
  return is_named ? list : list[0]["template"];
}

}  // namespace

absl::StatusOr<json> TokenizerConfig(const Architecture& architecture,
                                     const gguf::Metadata& metadata,
                                     const tokenizer::TokenizerFile& file) {
  ASSIGN_OR_RETURN(const TokenList tokens, TokenList::Read(metadata));
  ASSIGN_OR_RETURN(const TokenRoles roles, ReadTokenRoles(metadata, tokens));
  json config = {{"tokenizer_class", ClassOf(architecture, tokens.kind())},
                 {"added_tokens_decoder", Decoder(file)},
                 {"clean_up_tokenization_spaces", false}};
  for (const std::string_view role : {"bos", "eos", "unk", "pad", "sep", "mask"}) {
    const auto id = roles.IdOf(role);
    // The text would make a special token of one that is none; config.json has its id.
    const bool is_added = id && std::ranges::count(file.added_tokens, *id, &AddedToken::id) > 0;
    config[StrCat(role, "_token")] = is_added ? json(tokens.text(*id)) : json();
    ASSIGN_OR_RETURN(const auto add, FindBool(metadata, tokenizer::AddTokenKey(role)));
    if (add) config[StrCat("add_", role, "_token")] = *add;
  }
  ASSIGN_OR_RETURN(const auto length,
                   FindUint32(metadata, StrCat(architecture.gguf_name, ".context_length")));
  if (length) config["model_max_length"] = *length;
  ASSIGN_OR_RETURN(const auto prefix, FindBool(metadata, "tokenizer.ggml.add_space_prefix"));
  if (prefix) config["add_prefix_space"] = *prefix;
  ASSIGN_OR_RETURN(json templates, ChatTemplates(metadata));
  if (!templates.is_null()) config["chat_template"] = std::move(templates);
  return config;
}

}  // namespace quantized
