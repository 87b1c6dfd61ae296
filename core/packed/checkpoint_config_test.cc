#include "core/packed/checkpoint_config.h"

#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/base/version.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace quantized {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

std::string Quantizer() { return "llm-quantize:" + std::string(kVersion); }

TEST(CheckpointConfigTest, GptqHasTheFieldsThatItsLoadersNeed) {
  EXPECT_EQ(QuantizationConfig({.group_size = 64, .damp_percent = 0.01}), json::parse(R"({
    "quant_method": "gptq", "bits": 4, "group_size": 64, "desc_act": false, "sym": true,
    "checkpoint_format": "gptq", "lm_head": false, "true_sequential": true, "damp_percent": 0.01,
    "static_groups": false, "pack_dtype": "int32", "meta": {"quantizer": [")" + Quantizer() +
                                                                                      R"("]}})"));
}

TEST(CheckpointConfigTest, GptqOptionsAreSaid) {
  const PackedOptions options = {
      .bits = 3,
      .group_size = -1,
      .modules_not_converted = {"model.layers.0.mlp.gate", "a[b]"},
      .version = GptqVersion::kV2,
      .sym = false,
      .desc_act = true,
      .true_sequential = false,
      .modules_in_block_to_quantize = {{"self_attn.q_proj"}, {"mlp.up_proj", "mlp.gate_proj"}}};
  const json config = QuantizationConfig(options);
  EXPECT_EQ(config["bits"], 3);
  EXPECT_EQ(config["group_size"], -1);
  EXPECT_EQ(config["checkpoint_format"], "gptq_v2");
  EXPECT_EQ(config["sym"], false);
  EXPECT_EQ(config["desc_act"], true);
  EXPECT_EQ(config["true_sequential"], false);
  EXPECT_EQ(config["dynamic"],
            json::parse(R"({"-:^model\\.layers\\.0\\.mlp\\.gate$": {}, "-:^a\\[b\\]$": {}})"));
  EXPECT_EQ(config["modules_in_block_to_quantize"],
            json::parse(R"([["self_attn.q_proj"], ["mlp.up_proj", "mlp.gate_proj"]])"));
  EXPECT_EQ(json::parse(QuantizeConfigText(options)), config);
}

TEST(CheckpointConfigTest, AConversionSaysNothingOfHowCodesWereChosen) {
  const PackedOptions options = {.is_converted = true};
  json want = QuantizationConfig({});
  for (const char* field : {"true_sequential", "damp_percent", "static_groups"}) {
    EXPECT_EQ(want.erase(field), 1u) << field;
  }
  EXPECT_EQ(QuantizationConfig(options), want);
  EXPECT_EQ(json::parse(QuantizeConfigText(options)), want);
}

TEST(CheckpointConfigTest, AwqHasTheFieldsThatItsLoadersNeed) {
  PackedOptions options = {.method = PackedMethod::kAwq};
  json want = json::parse(R"({
    "quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": true, "version": "gemm",
    "modules_to_not_convert": null, "meta": {"quantizer": [")" +
                          Quantizer() + R"("]}})");
  EXPECT_EQ(QuantizationConfig(options), want);
  options.modules_not_converted = {"block_sparse_moe.gate"};
  want["modules_to_not_convert"] = json::array({"block_sparse_moe.gate"});
  EXPECT_EQ(QuantizationConfig(options), want);
}

TEST(CheckpointConfigTest, TheSourcesFieldsStay) {
  const json source = json::parse(R"({
    "architectures": ["LlamaForCausalLM"], "rms_norm_eps": 1e-05, "rope_theta": 500000.0,
    "auto_map": {"AutoConfig": "configuration_x.XConfig"}, "unknown": [1, null, "\u00e9"],
    "torch_dtype": "bfloat16", "quantization_config": {"quant_method": "fp8"},
    "text_config": {"dtype": "bfloat16", "hidden_size": 8}, "vision_config": {"hidden_size": 4}})");
  const auto text = OutputConfigText(source, {});
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_THAT(*text, HasSubstr("\"rope_theta\": 500000.0"));
  json want = source;
  want["torch_dtype"] = "float16";
  want["text_config"]["dtype"] = "float16";
  want["quantization_config"] = QuantizationConfig({});
  EXPECT_EQ(json::parse(*text), want);
}

TEST(CheckpointConfigTest, DtypeIsWrittenWhereItStands) {
  const auto config_of = [](const char* source) {
    json config = json::parse(OutputConfigText(json::parse(source), {}).value());
    config.erase("quantization_config");
    return config;
  };
  EXPECT_EQ(config_of(R"({"dtype": "bfloat16"})"), json::parse(R"({"dtype": "float16"})"));
  EXPECT_EQ(config_of(R"({})"), json::parse(R"({"torch_dtype": "float16"})"));
  EXPECT_EQ(config_of(R"({"dtype": "float32", "torch_dtype": null, "text_config": {}})"),
            json::parse(R"({"dtype": "float16", "torch_dtype": "float16", "text_config": {}})"));
}

TEST(CheckpointConfigTest, OptionsThatCannotBeAreRefused) {
  struct Case {
    PackedOptions options;
    const char* message;
  };
  for (const auto& [options, message] :
       {Case{{.bits = 5}, "found 5 bits for gptq, expected 2, 3, 4 or 8"},
        Case{{.method = PackedMethod::kAwq, .bits = 8}, "found 8 bits for awq, expected 4"},
        Case{{.group_size = 0}, "found group size 0"}, Case{{.group_size = -2}, "group size -2"},
        Case{{.group_size = 48}, "expected -1 or a multiple of 32"},
        Case{{.method = PackedMethod::kAwq, .desc_act = true}, "found desc_act for awq"},
        Case{{.damp_percent = 1}, "found damp_percent 1"},
        Case{{.modules_not_converted = {""}}, "found an empty name"}}) {
    const auto text = OutputConfigText(json::object(), options);
    ASSERT_FALSE(text.ok()) << message;
    EXPECT_EQ(ErrorOf(text.status()), Error::kInvalidArgument);
    EXPECT_THAT(std::string(text.status().message()), HasSubstr(message));
  }
  EXPECT_EQ(ErrorOf(OutputConfigText(json::array(), {}).status()), Error::kValidationFailed);
}

}  // namespace
}  // namespace quantized
