#include "core/rebuild/hf_files.h"

#include <optional>
#include <utility>

#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/hf/generation_config.h"
#include "core/hf/tokenizer/tokenizer_json.h"
#include "core/rebuild/metadata_values.h"
#include "core/rebuild/model_config.h"
#include "core/rebuild/token_list.h"
#include "core/rebuild/token_roles.h"
#include "core/rebuild/tokenizer.h"
#include "core/rebuild/tokenizer_config.h"

namespace quantized {
namespace {

using nlohmann::json;

// As Hugging Face's own files are indented; a text that is not UTF-8 loses what is not.
std::string TextOf(const json& object) {
  return object.dump(2, ' ', /*ensure_ascii=*/false, json::error_handler_t::replace) + "\n";
}

// The sampling that the file suggests, and the tokens at which generation stops: those that end a
// turn or a message, too.
json GenerationConfig(const gguf::Metadata& metadata, const TokenRoles& roles) {
  json config = SamplingFields(metadata);
  if (!config.empty()) config["do_sample"] = true;
  json stops = json::array();
  for (const std::string_view role : {"eos", "eot", "eom"}) {
    const auto id = roles.IdOf(role);
    if (id && std::ranges::count(stops, json(*id)) == 0) stops.push_back(*id);
  }
  if (!stops.empty()) config["eos_token_id"] = stops.size() == 1 ? stops[0] : stops;
  for (const std::string_view role : {"bos", "pad"}) {
    if (const auto id = roles.IdOf(role)) config[StrCat(role, "_token_id")] = *id;
  }
  return config;
}

}  // namespace

absl::StatusOr<std::vector<HfFile>> RebuildHfFiles(const ModelSource& source,
                                                   std::string_view pre_tokenizer) {
  const gguf::Metadata& metadata = source.metadata();
  ASSIGN_OR_RETURN(const RebuiltConfig rebuilt, RebuildConfig(source));
  const Architecture& architecture = *rebuilt.architecture;
  const json& config = rebuilt.config.file();
  ASSIGN_OR_RETURN(const TokenList tokens, TokenList::Read(metadata));
  if (config["vocab_size"] != tokens.size()) {
    return KeyError("tokenizer.ggml.tokens", StrCat(tokens.size()),
                    StrCat("as many as token_embd.weight has rows, ", config["vocab_size"].dump()));
  }
  ASSIGN_OR_RETURN(const TokenRoles roles, ReadTokenRoles(metadata, tokens));
  ASSIGN_OR_RETURN(const tokenizer::TokenizerFile file,
                   RebuildTokenizer(architecture, metadata, pre_tokenizer));
  ASSIGN_OR_RETURN(const json tokenizer_config, TokenizerConfig(architecture, metadata, file));
  std::vector<HfFile> files = {
      {"config.json", TextOf(config)},
      {"generation_config.json", TextOf(GenerationConfig(metadata, roles))},
      {"tokenizer.json", tokenizer::TokenizerJsonText(file)},
      {"tokenizer_config.json", TextOf(tokenizer_config)},
  };
  if (tokens.kind() == TokenizerKind::kSentencePiece) {
    ASSIGN_OR_RETURN(const auto model, RebuildSentencePieceModel(architecture, metadata));
    files.push_back({"tokenizer.model", tokenizer::SentencePieceModelBytes(model)});
  }
  return files;
}

}  // namespace quantized
