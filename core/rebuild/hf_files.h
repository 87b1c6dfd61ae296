// A Hugging Face directory's configuration and tokenizer, rebuilt from a GGUF model, so that
// transformers and what is built on it load the model's tensors from beside them
// (core/forward/gguf_tensor_source.h has these as the directory had them). What comes back exactly,
// what cannot, and where each field comes from: docs/design/gguf-to-hf.md.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "core/source/model_source.h"

namespace quantized {

struct HfFile {
  std::string name;  // "config.json", "1_Pooling/config.json"
  std::string bytes;
};

// config.json (with torch_dtype float16), generation_config.json, tokenizer.json,
// tokenizer_config.json; for SentencePiece vocabularies tokenizer.model; for models that pool
// modules.json and the pooling module's config.json. `pre_tokenizer` is as
// in RebuildTokenizer. Errors: those of RebuildConfig and RebuildTokenizer; kValidationFailed where
// there are more or fewer tokens than rows of the embedding.
absl::StatusOr<std::vector<HfFile>> RebuildHfFiles(const ModelSource& source,
                                                   std::string_view pre_tokenizer = "");

}  // namespace quantized
