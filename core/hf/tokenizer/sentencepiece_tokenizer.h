// A byte-pair tokenizer made of tokenizer.model alone, as transformers' converters of Llama's and
// Gemma's slow tokenizers make it: docs/design/tokenizers.md, "tokenizer.model without
// tokenizer.json".
#pragma once

#include <filesystem>
#include <string_view>

#include "absl/status/statusor.h"
#include "core/hf/tokenizer/sentencepiece_model.h"
#include "core/hf/tokenizer/tokenizer_file.h"
#include "nlohmann/json.hpp"

namespace quantized::tokenizer {

// `tokenizer_class` is that of tokenizer_config.json without "Fast", or empty; `config` its
// content. Gemma's class has rules of its own; all others are taken for Llama's. `path` is the
// model file's. Errors: kValidationFailed where the model is no byte-pair one, or its pieces are so
// long that finding their merges would take minutes.
absl::StatusOr<TokenizerFile> TokenizerFileOf(const SentencePieceModel& model,
                                              std::string_view tokenizer_class,
                                              const nlohmann::json& config,
                                              const std::filesystem::path& path);

}  // namespace quantized::tokenizer
