// Writing a tokenizer.json, the way back of tokenizer_file.h. Format: docs/design/tokenizers.md,
// "tokenizer.json".
#pragma once

#include <string>

#include "core/hf/tokenizer/tokenizer_file.h"

namespace quantized::tokenizer {

// The text of a tokenizer.json from which ParseTokenizerJson reads `file`, as transformers and
// tokenizers (from 0.20 on: merges are pairs) load it: tokens in order of their ids, merges in
// order of their rank. Precondition: the texts are UTF-8.
std::string TokenizerJsonText(const TokenizerFile& file);

}  // namespace quantized::tokenizer
