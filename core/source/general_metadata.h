// The general.* keys of a converted model: who made it, what it derives from, how large it is.
// Gathered from the model card, config.json and the directory's name, as the reference converter
// does. Rules: docs/design/hf-to-gguf.md, "General metadata".
#pragma once

#include <cstdint>
#include <string>

#include "core/gguf/metadata.h"
#include "nlohmann/json.hpp"

namespace quantized {

struct GeneralFacts {
  const nlohmann::json& card;               // front matter of README.md (core/hf/front_matter.h)
  const nlohmann::json& config;             // config.json as it stands in the file
  const nlohmann::json& generation_config;  // generation_config.json, or an empty object
  std::string directory_name;
  uint64_t parameters = 0;  // of all tensors that are written
  // Of a model with experts: how many a layer has, and the parameters if it had one.
  uint64_t experts = 0;
  uint64_t parameters_with_one_expert = 0;
};

// Appends general.sampling.*, general.name and what follows it up to general.languages.
void AppendGeneralMetadata(const GeneralFacts& facts, gguf::Metadata& metadata);

}  // namespace quantized
