// What the configuration files of an AWQ or GPTQ checkpoint say. Fields and their readers:
// docs/formats/gptq.md, docs/formats/awq.md. Pure functions; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/packed/gptq.h"
#include "nlohmann/json.hpp"

namespace quantized {

enum class PackedMethod { kGptq, kAwq };

// "gptq", "awq": quant_method in the configuration.
std::string_view NameOf(PackedMethod method);

struct PackedOptions {
  PackedMethod method = PackedMethod::kGptq;
  int bits = 4;
  int64_t group_size = 128;  // -1: a row is one group
  // Full names of the linear layers left as they are ("model.layers.0.mlp.gate"), besides lm_head.
  std::vector<std::string> modules_not_converted;
  // Made of a quantized model: how its codes were chosen is not known here, and not said.
  bool is_converted = false;

  // AWQ only: codes are the nearest within clipped ranges, not those of GPTQ.
  bool awq_clip = false;

  // GPTQ only.
  GptqVersion version = GptqVersion::kV1;
  bool sym = true;
  bool desc_act = false;       // channels are in the order of their activations: g_idx may be any
  bool static_groups = false;  // but groups are natural ones; desc_act is then best left false
  bool true_sequential = true;
  double damp_percent = 0.05;
  // Names within a block, in the order of their turns; empty: all linear layers of it.
  std::vector<std::vector<std::string>> modules_in_block_to_quantize;
};

// Errors: kInvalidArgument for options that no such checkpoint can have, naming option, found and
// expected.
absl::Status CheckOptions(const PackedOptions& options);

// The object that stands as `quantization_config` in config.json. `options` are sound.
nlohmann::json QuantizationConfig(const PackedOptions& options);

// The text of the output's config.json: `source` (an object, as in the source's file) with
// everything in it kept, but for the dtype, which becomes float16, also that of text_config where
// it has one, and quantization_config. Errors: those of CheckOptions; kValidationFailed for a
// source that is no object.
absl::StatusOr<std::string> OutputConfigText(const nlohmann::json& source,
                                             const PackedOptions& options);

inline constexpr std::string_view kQuantizeConfigFile = "quantize_config.json";
// The text of kQuantizeConfigFile, which GPTQ checkpoints have besides: QuantizationConfig again.
std::string QuantizeConfigText(const PackedOptions& options);

}  // namespace quantized
