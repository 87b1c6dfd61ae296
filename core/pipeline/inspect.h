// What there is to know about a model without reading its weights: `llm-quantize info`, asked
// through `quantize-worker inspect`.
#pragma once

#include <filesystem>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"

namespace quantized {

struct InspectOptions {
  bool tensors = false;           // list them
  bool verify = false;            // read all of them (core/pipeline/model_check.h)
  std::filesystem::path against;  // compare with this model; empty: with none
};

// One object: first the contract's keys (model_name, architecture, parameter_count, hidden_size,
// num_layers, num_heads, vocab_size, torch_dtype), each always there, text "" and number 0 where
// the model does not tell; then, in this order, what else is known:
//   format            "gguf", "awq", "gptq" or "safetensors"
//   quantization_method  of a directory quantized in another way: "fp8", "bitsandbytes"
//   quantization_level  "Q4_K_M", "4bit"; of a quantized model
//   quantization_settings  of AWQ and GPTQ: {"group_size": 128, "symmetric": true, …}; of a form
//                     that we do not read (AWQ's gemv, GPTQ's marlin) group size and version
//   size_bytes        of the tensors as stored
//   bits_per_weight   of all of them together, where parameter_count is not 0
//   context_length
//   tokenizer_model, tokenizer_pre   of a GGUF file; tokenizer_class of a directory
//   chat_template     whether there is one
//   tensor_count, tensor_types   the second: {"F32": 61, "Q4_K": 181, …}, most frequent first;
//                     packed linears count as one: "4-bit"
//   files             how many hold the tensors
//   tensors           if asked for: [{"name", "type", "shape", "size_bytes"}, …], shapes outermost
//                     first, in the order of the files
//   verified_tensors  if asked for: how many were read and are sound, counted as tensor_count
//   relative_error, tensor_errors   if asked for: of all matrices; [{"name", "type",
//                     "relative_error", "max_error"}, …], names and types as in tensors
//   scales_undone     before these, where AWQ's scales were found in the model: true, and each of
//                     tensor_errors has "scales" ("undone", "folded": a norm, "not undone" or "");
//                     errors of a norm and of what is not undone are null. False where they may be
//                     there, but are looked for only in known architectures
// parameter_count is exact or 0: of weights that are quantized in a way that we do not read, shapes
// do not tell it (core/source/hf_summary.h).
// Text is as the file has it; what prints it replaces bytes that are not UTF-8
// (nlohmann's error_handler_t::replace). Works for any architecture and any tokenizer, but for the
// comparison of a directory with a GGUF file, whose tensors only known architectures name alike.
// Errors: those of LocateModel, GgufReader and SafetensorsReader; kModelNotFound for a directory
// without config.json or weights; kValidationFailed for a damaged one; those of VerifyModel and
// CompareTensors.
absl::StatusOr<nlohmann::ordered_json> Inspect(const std::filesystem::path& path,
                                               const InspectOptions& options = {});

}  // namespace quantized
