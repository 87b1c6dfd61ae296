#include "core/packed/checkpoint_config.h"

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/base/version.h"
#include "core/hf/json_file.h"
#include "core/packed/bit_stream.h"
#include "core/tensor/text.h"

namespace quantized {
namespace {

using nlohmann::json;

constexpr std::string_view kDtype = "float16";
// The newer and the older spelling of one field.
constexpr const char* kDtypeNames[] = {"dtype", "torch_dtype"};

absl::Status Invalid(std::string_view what) { return MakeError(Error::kInvalidArgument, what); }

std::string Quantizer() { return StrCat("llm-quantize:", kVersion); }

// A rule of `dynamic` that leaves the module of this name, and no other, unquantized.
std::string ExclusionRule(std::string_view module) {
  std::string rule = "-:^";
  for (const char c : module) {
    const bool is_plain =
        (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
    if (!is_plain) rule += '\\';
    rule += c;
  }
  return rule + "$";
}

json GptqConfig(const PackedOptions& options) {
  json config = {
      {"quant_method", NameOf(options.method)},
      {"bits", options.bits},
      {"group_size", options.group_size},
      {"desc_act", options.desc_act},
      {"sym", options.sym},
      {"checkpoint_format", options.version == GptqVersion::kV1 ? "gptq" : "gptq_v2"},
      {"lm_head", false},
      {"pack_dtype", "int32"},
      {"meta", {{"quantizer", json::array({Quantizer()})}}},
  };
  // No loader needs them.
  if (!options.is_converted) {
    config["true_sequential"] = options.true_sequential;
    config["damp_percent"] = options.damp_percent;
    config["static_groups"] = options.static_groups;
  }
  for (const std::string& module : options.modules_not_converted) {
    config["dynamic"][ExclusionRule(module)] = json::object();
  }
  if (!options.modules_in_block_to_quantize.empty()) {
    config["modules_in_block_to_quantize"] = options.modules_in_block_to_quantize;
  }
  return config;
}

json AwqConfig(const PackedOptions& options) {
  json config = {
      {"quant_method", NameOf(options.method)},
      {"bits", options.bits},
      {"group_size", options.group_size},
      {"zero_point", true},
      {"version", "gemm"},
      {"modules_to_not_convert", nullptr},
      {"meta", {{"quantizer", json::array({Quantizer()})}}},
  };
  if (!options.modules_not_converted.empty()) {
    config["modules_to_not_convert"] = options.modules_not_converted;
  }
  return config;
}

std::string Text(const json& value) {
  return value.dump(2, ' ', /*ensure_ascii=*/false, json::error_handler_t::replace) + "\n";
}

}  // namespace

std::string_view NameOf(PackedMethod method) {
  return method == PackedMethod::kGptq ? "gptq" : "awq";
}

absl::Status CheckOptions(const PackedOptions& options) {
  const bool is_awq = options.method == PackedMethod::kAwq;
  if (is_awq ? options.bits != 4 : !IsStreamBits(options.bits)) {
    return Invalid(StrCat("found ", options.bits, " bits for ", NameOf(options.method),
                          ", expected ", is_awq ? "4" : "2, 3, 4 or 8"));
  }
  if (options.group_size != -1 && (options.group_size <= 0 || options.group_size % 32 != 0)) {
    return Invalid(
        StrCat("found group size ", options.group_size, ", expected -1 or a multiple of 32"));
  }
  if (is_awq && options.desc_act) {
    return MakeError(Error::kInvalidArgument,
                     "quantization_config: found desc_act for awq, expected natural groups",
                     "Leave out the order of columns by activation, or quantize to gptq");
  }
  if (!(options.damp_percent >= 0 && options.damp_percent < 1)) {
    return Invalid(StrCat("found damp_percent ", options.damp_percent,
                          ", expected a number from 0 to below 1"));
  }
  for (const std::string& module : options.modules_not_converted) {
    if (module.empty()) return Invalid("found an empty name among modules left unquantized");
  }
  return absl::OkStatus();
}

json QuantizationConfig(const PackedOptions& options) {
  CHECK(CheckOptions(options).ok());
  return options.method == PackedMethod::kGptq ? GptqConfig(options) : AwqConfig(options);
}

absl::StatusOr<std::string> OutputConfigText(const json& source, const PackedOptions& options) {
  RETURN_IF_ERROR(CheckOptions(options));
  if (!source.is_object()) {
    return MakeError(Error::kValidationFailed,
                     StrCat("config.json: expected an object, found ", JsonText(source)));
  }
  json config = source;
  bool has_dtype = false;
  for (const char* name : kDtypeNames) {
    if (config.contains(name)) {
      config[name] = kDtype;
      has_dtype = true;
    }
    const auto text_part = config.find("text_config");
    if (text_part != config.end() && text_part->is_object() && text_part->contains(name)) {
      (*text_part)[name] = kDtype;
    }
  }
  // Both old and new readers take the older name.
  if (!has_dtype) config["torch_dtype"] = kDtype;
  config["quantization_config"] = QuantizationConfig(options);
  return Text(config);
}

std::string QuantizeConfigText(const PackedOptions& options) {
  return Text(QuantizationConfig(options));
}

}  // namespace quantized
