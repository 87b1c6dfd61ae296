// tokenizer_config.json of a GGUF model: the tokens with a role, the added tokens and the chat
// templates, beside what tokenizer.json says.
#pragma once

#include "absl/status/statusor.h"
#include "core/arch/architecture.h"
#include "core/gguf/metadata.h"
#include "core/hf/tokenizer/tokenizer_file.h"
#include "nlohmann/json.hpp"

namespace quantized {

// `file` is what RebuildTokenizer made of the same metadata. The class is the one that takes
// tokenizer.json as it stands, so that no rule of a family's class comes in between. Errors:
// kValidationFailed, naming the key, for values of another type.
absl::StatusOr<nlohmann::json> TokenizerConfig(const Architecture& architecture,
                                               const gguf::Metadata& metadata,
                                               const tokenizer::TokenizerFile& file);

}  // namespace quantized
