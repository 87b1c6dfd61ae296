// A small model whose rows do not fit large blocks and groups, as those of SmolLM2-135M do not.
#pragma once

#include <filesystem>

namespace quantized::testing {

// A Hugging Face directory at `path`, which is new: Llama architecture, 2 layers, tied embeddings,
// the tokenizer of TinyModel. Its rows of 192 and 320 values are whole blocks of 32 and groups of
// 64, but neither blocks of 256 nor groups of 128.
void WriteNarrowModel(const std::filesystem::path& path);

}  // namespace quantized::testing
