// What the name of a model tells: "org/Llama-3.2-1B-Instruct" → organization, base name, size,
// fine-tune, version. The reference converter's heuristics, which fill general.* of a GGUF file.
// Rules: docs/design/hf-to-gguf.md, "General metadata".
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace quantized {

struct ModelNameParts {
  std::string full_name;  // without the organization; may be empty
  std::optional<std::string> organization, basename, finetune, version, size_label;
};

// `id` is "name" or "org/name". `parameters` (0: not known) tells a size from a context length.
ModelNameParts ParseModelName(std::string_view id, uint64_t parameters);

// "gemma-3-270m-it" → "Gemma 3 270m It": words of lower case only are capitalised, unless they look
// like a version or begin with a digit.
std::string TitleOfName(std::string_view name);

// "135M", "1.3M": parameters in thousands, millions, … with at least two digits.
std::string SizeLabel(uint64_t parameters);

}  // namespace quantized
