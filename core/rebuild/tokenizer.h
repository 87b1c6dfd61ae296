// The tokenizer of a GGUF model in the form of a tokenizer.json, for AutoTokenizer to load and for
// core/hf/tokenizer to run. What comes back and what cannot: docs/design/gguf-to-hf.md.
#pragma once

#include <string_view>

#include "absl/status/statusor.h"
#include "core/arch/architecture.h"
#include "core/gguf/metadata.h"
#include "core/hf/tokenizer/sentencepiece_model.h"
#include "core/hf/tokenizer/tokenizer_file.h"

namespace quantized {

// `pre_tokenizer` counts instead of tokenizer.ggml.pre unless it is empty. Errors, naming key, found
// and expected: kValidationFailed for keys that are missing or contradict each other and merges of
// what are no tokens; kUnsupportedConversion for an unknown kind or pre-tokenizer.
absl::StatusOr<tokenizer::TokenizerFile> RebuildTokenizer(const Architecture& architecture,
                                                          const gguf::Metadata& metadata,
                                                          std::string_view pre_tokenizer = "");

// What tokenizer.model holds, of a file whose tokenizer.ggml.model is llama. Errors: as above.
absl::StatusOr<tokenizer::SentencePieceModel> RebuildSentencePieceModel(
    const Architecture& architecture, const gguf::Metadata& metadata);

}  // namespace quantized
