// generation_config.json: the sampling defaults that a model's author suggests, as the
// general.sampling.* keys of a GGUF file, and back.
#pragma once

#include "core/gguf/metadata.h"
#include "nlohmann/json.hpp"

namespace quantized {

// Appends a key for each member of `config` (an object) that the format knows and that holds a
// number of its type. Others are left out: a suggestion is no reason to refuse a model.
void AppendSamplingMetadata(const nlohmann::json& config, gguf::Metadata& metadata);

// The way back: a member of generation_config.json for each key that has its type, by the name that
// transformers knows; an empty object where there is none.
nlohmann::json SamplingFields(const gguf::Metadata& metadata);

}  // namespace quantized
