// What a model directory says of how its weights are quantized: in config.json, or, where that says
// nothing, in a file that older programs wrote beside it. Whether the weights agree is not looked
// at here.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"

namespace quantized {

struct HfQuantization {
  nlohmann::json fields;   // as they stand; quant_method filled in where it can be told
  std::string method;      // quant_method in lower case; empty where it is no text
  std::string place;       // for messages: "config.json: quantization_config", "quant_config.json"
  bool is_beside = false;  // in a file beside config.json
};

// Of the fields of a config.json: quantization_config, else compression_config, its older name with
// compressed-tensors. Without quant_method it is bitsandbytes' where it says load_in_4bit or
// load_in_8bit, as for transformers, else GPTQ's.
std::optional<HfQuantization> QuantizationIn(const nlohmann::json& fields);

// Of quantize_config.json (AutoGPTQ) or quant_config.json (AutoAWQ). Nothing where neither is there
// and has bits and a group size: other tools have files of these names. Errors: those of reading a
// file that is there, and kValidationFailed where it is no JSON, naming it.
absl::StatusOr<std::optional<HfQuantization>> QuantizationBeside(
    const std::filesystem::path& directory);

}  // namespace quantized
