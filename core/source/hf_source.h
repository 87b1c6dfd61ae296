// A Hugging Face model directory as the GGUF file that the reference converter would have written:
// its tensors (names, order, types, values) and its metadata. Rules, and the few places where we
// differ on purpose: docs/design/hf-to-gguf.md. Nothing of the directory is ever executed.
#pragma once

#include <filesystem>
#include <memory>

#include "absl/status/statusor.h"
#include "core/source/model_source.h"

namespace quantized {

// Reads configuration, headers and tokenizer; weights are read by ReadRows. Errors: kModelNotFound
// when `directory` holds no config.json or no safetensors weights; kNotImplemented for a checkpoint
// that is quantized already and for a model kind that is not converted; kInvalidArgument for
// another conversion type than F32, F16 and BF16; kValidationFailed for everything that is damaged,
// unknown or does not fit together, naming file, field or tensor, found and expected.
absl::StatusOr<std::unique_ptr<ModelSource>> OpenHfSource(const std::filesystem::path& directory,
                                                          const SourceOptions& options);

}  // namespace quantized
