// Whether the weights of a Hugging Face directory are quantized, and whether we read how.
#pragma once

#include <filesystem>
#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/hf/config.h"
#include "core/packed/reader.h"
#include "core/source/hf_weights.h"

namespace quantized {

// What the directory says of it; null where its weights are not quantized. A file beside
// config.json is believed only where there are packed linears: originals may keep one. Points into
// `config`.
const HfQuantization* QuantizationOf(const HfConfig& config, const HfWeights& weights);

// Whether linears are packed as AWQ and GPTQ pack them, whatever the directory says of it.
bool HasPackedLinears(const HfWeights& weights);

// kValidationFailed where they are and nothing says how: what is packed is never guessed. Names the
// first of them and where it was looked.
absl::Status CheckPackingIsSaid(const HfConfig& config, const HfWeights& weights);

// The error of what needs an original: kNotImplemented, naming the method.
absl::Status QuantizedAlready(const HfQuantization& quantization);

// Whether the directory of `config` is an original. Looks at its weights only where a file beside
// config.json says that it is none, so that others are refused by what they are. Errors: that of
// QuantizedAlready; those of HfWeights::Open.
absl::Status CheckIsOriginal(const HfConfig& config, const std::filesystem::path& directory);

// How linears are packed, where they are and we read it: nothing for originals, for methods other
// than AWQ and GPTQ, and for forms of these that PackedSchemeOf refuses with
// kUnsupportedConversion. Errors: others of PackedSchemeOf.
absl::StatusOr<std::optional<PackedScheme>> ReadableScheme(const HfConfig& config,
                                                           const HfWeights& weights);

}  // namespace quantized
