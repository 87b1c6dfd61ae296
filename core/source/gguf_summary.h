// A GGUF model in Hugging Face's terms.
#pragma once

#include <string_view>

#include "core/gguf/reader.h"
#include "core/source/model_source.h"

namespace quantized {

// "float16" for F16; the GGUF name for types that PyTorch has no word for ("Q4_K").
std::string_view HfDTypeName(kernels::TypeId type);

// The architecture is the one whose tensors the file has (core/arch/gguf_architecture.h), so a
// Mistral is a Llama here; the name as the file has it where we know none of that name. Figures
// come from tensor shapes where they can, else from the metadata; what neither tells is 0.
// Generated tensors (rope factors) are no parameters, so that a model has the same number of them
// as its Hugging Face directory; but a tied head that is stored counts, as no key tells that it is
// one.
ModelSummary Summarize(const gguf::GgufReader& reader, std::string_view name);

}  // namespace quantized
