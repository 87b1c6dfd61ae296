// What transformers' AutoTokenizer (4.57) does to the tokenizer files of a directory when it loads
// them: the class named in tokenizer_config.json may put other special tokens around a text than
// tokenizer.json says, further added tokens come from tokenizer_config.json, and its
// add_prefix_space wins. Rules: docs/design/tokenizers.md, "What transformers changes".
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/hf/tokenizer/tokenizer_file.h"
#include "nlohmann/json.hpp"

namespace quantized::tokenizer {

// Reads tokenizer.json, else vocab.json and merges.txt, of `directory` as they stand; `config` is
// the content of tokenizer_config.json, an object. Errors: kModelNotFound when there are no such
// files; kValidationFailed when one is damaged.
absl::StatusOr<TokenizerFile> ReadTokenizerFiles(const std::filesystem::path& directory,
                                                 const nlohmann::json& config,
                                                 std::string_view model_type);

// As ReadTokenizerFiles, and where there are no such files, what tokenizer.model holds with
// added_tokens.json. Errors: as above; kValidationFailed when its model is no byte-pair one.
absl::StatusOr<TokenizerFile> ReadAnyTokenizerFiles(const std::filesystem::path& directory,
                                                    const nlohmann::json& config,
                                                    std::string_view model_type);

// Changes `file` as `config` says. Errors: kValidationFailed when `config` is damaged.
absl::Status ApplyTokenizerConfig(const nlohmann::json& config, std::string_view model_type,
                                  TokenizerFile* file);

// The tokenizer class that a model type stands for where the files name none, without "Fast"; empty
// where there is none.
std::string_view TokenizerClassOf(std::string_view model_type);

// Texts of the tokens that have a role (bos_token, …, additional_special_tokens) in `config`, the
// content of tokenizer_config.json, with the defaults of the tokenizer's class.
std::vector<std::string> SpecialTokens(const nlohmann::json& config, std::string_view model_type);

}  // namespace quantized::tokenizer
