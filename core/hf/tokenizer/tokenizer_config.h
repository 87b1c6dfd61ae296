// tokenizer_config.json and the small files beside it, which say what the vocabulary does not:
// which tokens are special, which of them go around a text, the chat template.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "core/hf/tokenizer/added_tokens.h"
#include "nlohmann/json.hpp"

namespace quantized::tokenizer {

// A small JSON file, an object; nullopt when there is no such file. Errors: those of ReadJsonObject
// (core/hf/json_file.h).
absl::StatusOr<std::optional<nlohmann::json>> ReadOptionalJson(const std::filesystem::path& path);

// tokenizer_config.json of `directory`, an empty object when it is not there. Where it has no
// added_tokens_decoder, as files of older versions have none, special_tokens_map.json is laid over
// it, as transformers does. Errors: those of ReadOptionalJson.
absl::StatusOr<nlohmann::json> ReadTokenizerConfig(const std::filesystem::path& directory);

// The tokens of `added_tokens_decoder`, by id. Errors: kValidationFailed when it is damaged.
absl::StatusOr<std::vector<AddedToken>> AddedTokensDecoder(const nlohmann::json& config,
                                                           std::string_view file);

// The tokens of added_tokens.json (text to id) in `directory`, by id; none when it is not there.
// They are not special. Errors: kValidationFailed when it is damaged.
absl::StatusOr<std::vector<AddedToken>> ReadAddedTokensJson(const std::filesystem::path& directory);

// The text of a token given as "text" or {"content": "text"}; nullopt for anything else.
std::optional<std::string> TokenContent(const nlohmann::json& token);

// A chat template as it goes into a GGUF file.
struct ChatTemplate {
  std::string name;  // empty: the one without a name
  std::string text;
};

// chat_template of `config`, else chat_template.jinja (with additional_chat_templates/*.jinja),
// else chat_template.json. Errors: kValidationFailed when a file is too large or not UTF-8.
absl::StatusOr<std::vector<ChatTemplate>> ReadChatTemplates(const std::filesystem::path& directory,
                                                            const nlohmann::json& config);

}  // namespace quantized::tokenizer
