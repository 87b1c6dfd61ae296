// What there is to know about a model without reading its weights: `llm-quantize info`, asked
// through `quantize-worker inspect`.
#pragma once

#include <filesystem>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"

namespace quantized {

// One object: first the contract's keys (model_name, architecture, parameter_count, hidden_size,
// num_layers, num_heads, vocab_size, torch_dtype), each always there, text "" and number 0 where
// the model does not tell; then, in this order, what else is known:
//   format            "gguf" or "safetensors"
//   quantization_level  of a GGUF file: "Q4_K_M"
//   size_bytes        of the tensors as stored
//   bits_per_weight   of all of them together
//   context_length
//   tokenizer_model, tokenizer_pre   of a GGUF file
//   tensor_count, tensor_types   the second: {"F32": 61, "Q4_K": 181, …}, most frequent first
//   files             how many hold the tensors
// Text is as the file has it; what prints it replaces bytes that are not UTF-8
// (nlohmann's error_handler_t::replace). Works for any architecture and any tokenizer. Errors:
// those of LocateModel, GgufReader and SafetensorsReader; kModelNotFound for a directory without
// config.json or weights; kValidationFailed for a damaged one.
absl::StatusOr<nlohmann::ordered_json> Inspect(const std::filesystem::path& path);

}  // namespace quantized
