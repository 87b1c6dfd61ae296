#include "core/rebuild/hf_files.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <utility>

#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/hf/generation_config.h"
#include "core/hf/pooling.h"
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

// Control tokens that end a text, a turn or a message by their name alone: GGUF runtimes stop at
// them whatever the file says.
constexpr std::string_view kStops[] = {
    "</s>",       "<|end_of_text|>", "<|endoftext|>", "<|eot_id|>",
    "<|eom_id|>", "<|end|>",         "<|im_end|>",    "<end_of_turn>",
};

// The end of text first.
std::vector<uint32_t> StopIds(const TokenList& tokens, const TokenRoles& roles) {
  std::vector<uint32_t> ids;
  const auto add = [&](uint32_t id) {
    if (std::ranges::count(ids, id) == 0) ids.push_back(id);
  };
  for (const std::string_view role : {"eos", "eot", "eom"}) {
    if (const auto id = roles.IdOf(role)) add(*id);
  }
  for (uint32_t id = 0; id < tokens.size(); ++id) {
    const bool is_control = tokens.type(id) == tokenizer::PieceType::kControl;
    if (is_control && std::ranges::count(kStops, tokens.text(id)) > 0) add(id);
  }
  return ids;
}

// The sampling that the file suggests, and where generation stops.
json GenerationConfig(const gguf::Metadata& metadata, const TokenList& tokens,
                      const TokenRoles& roles) {
  json config = SamplingFields(metadata);
  if (!config.empty()) config["do_sample"] = true;
  const std::vector<uint32_t> stops = StopIds(tokens, roles);
  if (!stops.empty()) config["eos_token_id"] = stops.size() == 1 ? json(stops[0]) : json(stops);
  for (const std::string_view role : {"bos", "pad"}) {
    if (const auto id = roles.IdOf(role)) config[StrCat(role, "_token_id")] = *id;
  }
  return config;
}

// How an embedding model pools.
absl::Status AddPooling(const RebuiltConfig& rebuilt, const gguf::Metadata& metadata,
                        std::vector<HfFile>* files) {
  const std::string key = StrCat(rebuilt.architecture->gguf_name, ".pooling_type");
  ASSIGN_OR_RETURN(const std::optional<uint32_t> type, FindUint32(metadata, key));
  if (!type) return absl::OkStatus();
  const auto width = rebuilt.config.file()["hidden_size"].get<uint32_t>();
  const std::optional<PoolingFiles> pooling = PoolingFilesOf(*type, width);
  if (!pooling) {
    return NoPlaceError(key, StrCat(*type), "1, 2 or 3: by mean, first or last token");
  }
  files->push_back({"modules.json", TextOf(pooling->modules)});
  files->push_back({StrCat(kPoolingFolder, "/config.json"), TextOf(pooling->pooling)});
  return absl::OkStatus();
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
      {"generation_config.json", TextOf(GenerationConfig(metadata, tokens, roles))},
      {"tokenizer.json", tokenizer::TokenizerJsonText(file)},
      {"tokenizer_config.json", TextOf(tokenizer_config)},
  };
  if (tokens.kind() == TokenizerKind::kSentencePiece) {
    ASSIGN_OR_RETURN(const auto model, RebuildSentencePieceModel(architecture, metadata));
    files.push_back({"tokenizer.model", tokenizer::SentencePieceModelBytes(model)});
  }
  RETURN_IF_ERROR(AddPooling(rebuilt, metadata, &files));
  return files;
}

}  // namespace quantized
