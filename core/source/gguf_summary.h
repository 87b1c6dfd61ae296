// A GGUF model in Hugging Face's terms.
#pragma once

#include <string_view>

#include "core/gguf/reader.h"
#include "core/source/model_source.h"

namespace quantized {

// "LlamaForCausalLM" for "llama". Files of Mistral say "llama", too. Where no row has the name, the
// name itself.
std::string_view HfArchitectureName(std::string_view gguf_architecture);

// "float16" for F16; the GGUF name for types that PyTorch has no word for ("Q4_K").
std::string_view HfDTypeName(kernels::TypeId type);

// Figures come from tensor shapes where they can, else from the metadata; what neither tells is 0.
// Generated tensors (rope factors) are no parameters, so that a model has the same number of them
// as its Hugging Face directory.
ModelSummary Summarize(const gguf::GgufReader& reader, std::string_view name);

}  // namespace quantized
