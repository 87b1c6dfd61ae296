#include "core/source/completeness.h"

#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/error.h"
#include "core/source/hf_summary.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/support/paths.h"
#include "tests/support/safetensors_file.h"

namespace quantized {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using testing::SafetensorsFile;

constexpr std::string_view kLinears[] = {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj",
                                         "self_attn.o_proj", "mlp.gate_proj",    "mlp.up_proj",
                                         "mlp.down_proj"};
constexpr std::string_view kSuffixes[] = {"qweight", "qzeros", "scales"};

class CompletenessTest : public ::testing::Test {
 protected:
  CompletenessTest() {
    config_ = {{"architectures", {"LlamaForCausalLM"}},
               {"hidden_size", 8},
               {"intermediate_size", 8},
               {"num_hidden_layers", 2},
               {"num_attention_heads", 2}};
    dtypes_ = {{"model.embed_tokens.weight", "F16"}, {"model.norm.weight", "F16"}};
    for (int layer = 0; layer < 2; ++layer) {
      const std::string prefix = "model.layers." + std::to_string(layer) + ".";
      for (const char* norm : {"input_layernorm", "post_attention_layernorm"}) {
        dtypes_[prefix + norm + ".weight"] = "F16";
      }
      for (const std::string_view linear : kLinears) {
        dtypes_[prefix + std::string(linear) + ".weight"] = "F16";
      }
    }
  }

  // Tensors of one element each.
  void Write() const {
    std::ofstream(folder_.path() / "config.json") << config_.dump();
    SafetensorsFile file;
    for (const auto& [name, dtype] : dtypes_) {
      file.Add(name, dtype, {1}, std::string(dtype == "I32" ? 4 : 2, '\0'));
    }
    file.WriteTo(folder_.path() / "model.safetensors");
  }
  absl::Status Check() const {
    Write();
    return CheckComplete(*HfConfig::Read(folder_.path()), **HfWeights::Open(folder_.path()));
  }
  void ExpectMissing(const std::string& what) const {
    const absl::Status status = Check();
    ASSERT_FALSE(status.ok()) << what;
    EXPECT_EQ(ErrorOf(status), Error::kValidationFailed);
    EXPECT_THAT(std::string(status.message()), HasSubstr(what));
    EXPECT_FALSE(SuggestionOf(status).empty());
  }

  // Every linear packed.
  void Pack() {
    std::map<std::string, std::string> packed;
    for (const auto& [name, dtype] : dtypes_) {
      if (name.find("_proj") == std::string::npos) {
        packed[name] = dtype;
        continue;
      }
      for (const std::string_view suffix : kSuffixes) {
        packed[name.substr(0, name.rfind('.') + 1) + std::string(suffix)] =
            suffix == "scales" ? "F16" : "I32";
      }
    }
    dtypes_ = std::move(packed);
  }

  const testing::TempDir folder_;
  json config_;
  std::map<std::string, std::string> dtypes_;  // of the tensors, by name
};

TEST_F(CompletenessTest, EveryTensorThatTheRulesDemandIsMissed) {
  EXPECT_TRUE(Check().ok()) << Check();
  const auto all = dtypes_;
  for (const auto& [name, dtype] : all) {
    dtypes_.erase(name);
    ExpectMissing("tensor " + name + ": expected by config.json (2 layers), found in no file");
    dtypes_ = all;
  }
  config_["num_hidden_layers"] = 3;
  ExpectMissing("tensor model.layers.2.");
  config_.erase("num_hidden_layers");
  EXPECT_THAT(std::string(Check().message()),
              HasSubstr("num_hidden_layers: expected a whole number above 0, found nothing"));
}

TEST_F(CompletenessTest, WrappersAroundNamesDoNotMatter) {
  std::map<std::string, std::string> wrapped = {{"vision_tower.patch.weight", "F16"}};
  for (const auto& [name, dtype] : dtypes_) wrapped["language_model." + name] = dtype;
  dtypes_ = wrapped;
  EXPECT_TRUE(Check().ok()) << Check();
}

TEST_F(CompletenessTest, APackedLinearIsItsCodes) {
  Pack();
  config_["quantization_config"] = {{"quant_method", "gptq"}, {"bits", 4}, {"group_size", 32}};
  EXPECT_TRUE(Check().ok()) << Check();
  dtypes_.erase("model.layers.1.mlp.up_proj.qweight");
  ExpectMissing("tensor model.layers.1.mlp.up_proj.weight: expected by config.json");
}

TEST_F(CompletenessTest, PackedTensorsAreNeverWithoutAWordOnHow) {
  Pack();
  for (const char* architecture : {"LlamaForCausalLM", "FooForCausalLM"}) {
    config_["architectures"] = {architecture};
    ExpectMissing(
        "model.safetensors: model.layers.0.mlp.down_proj.qweight: packed, found no "
        "quantization_config in config.json");
  }
  const auto summary =
      SummarizeHf(*HfConfig::Read(folder_.path()), **HfWeights::Open(folder_.path()), "model");
  ASSERT_TRUE(summary.ok()) << summary.status();
  EXPECT_EQ(summary->parameter_count, 0u) << "their shapes do not tell it";
  EXPECT_EQ(summary->dtype, "float16");
}

TEST_F(CompletenessTest, WhatIsNotKnownIsNotMissed) {
  dtypes_.erase("model.norm.weight");
  config_["quantization_config"] = {{"quant_method", "compressed-tensors"}};
  EXPECT_TRUE(Check().ok()) << Check();
  config_.erase("quantization_config");
  config_["architectures"] = {"FooForCausalLM"};
  EXPECT_TRUE(Check().ok()) << Check();
  // Layers without experts have tensors of their own.
  config_["architectures"] = {"Qwen3MoeForCausalLM"};
  config_["num_experts"] = 2;
  ExpectMissing("tensor model.norm.weight");
  config_["mlp_only_layers"] = json::array({0});
  EXPECT_TRUE(Check().ok()) << Check();
  config_["mlp_only_layers"] = json::array();
  config_["decoder_sparse_step"] = 2;
  EXPECT_TRUE(Check().ok()) << Check();
}

}  // namespace
}  // namespace quantized
