// generation_config.json: the sampling defaults that a model's author suggests, as the
// general.sampling.* keys of a GGUF file.
#pragma once

#include "core/gguf/metadata.h"
#include "nlohmann/json.hpp"

namespace quantized {

// Appends a key for each member of `config` (an object) that the format knows and that holds a
// number of its type. Others are left out: a suggestion is no reason to refuse a model.
void AppendSamplingMetadata(const nlohmann::json& config, gguf::Metadata& metadata);

}  // namespace quantized
