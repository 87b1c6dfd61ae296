// What a person wants to know about a Hugging Face directory. Needs config.json and the headers of
// the weights only, so it works for architectures and tokenizers that cannot be converted.
#pragma once

#include <filesystem>

#include "absl/status/statusor.h"
#include "core/hf/config.h"
#include "core/source/hf_weights.h"
#include "core/source/model_source.h"

namespace quantized {

// The name of the model in a directory: the last part of its path, "." and links resolved no
// further than that part.
std::string HfModelName(const std::filesystem::path& directory);

// Parameters are those that transformers' num_parameters counts: buffers are none, packed linears
// count unpacked, an output head that is tied to the embedding and stored all the same counts once.
// Their count is 0 for weights that are quantized in a way that we do not read, or packed without a
// word on how: their shapes do not tell it. Errors: kValidationFailed when a figure of config.json
// is no whole number. A figure that the configuration does not give is 0.
absl::StatusOr<ModelSummary> SummarizeHf(const HfConfig& config, const HfWeights& weights,
                                         std::string_view name);

}  // namespace quantized
