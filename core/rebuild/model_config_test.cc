#include "core/rebuild/model_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <set>
#include <string>
#include <string_view>

#include "core/arch/geometry.h"
#include "core/arch/rope_freqs.h"
#include "core/base/error.h"
#include "core/rebuild/test_forward.h"
#include "core/rebuild/test_source.h"
#include "nlohmann/json.hpp"
#include "tests/support/paths.h"

namespace quantized {
namespace {

using nlohmann::json;
using testing::ExpectSameForward;
using ::testing::HasSubstr;
using testing::SourceOfDirectory;
using testing::TestSource;

std::filesystem::path DirectoryOf(std::string_view name) {
  return testing::GoldenDir() / "activations/models" / name;
}

RebuiltConfig Rebuild(const ModelSource& source) {
  auto rebuilt = RebuildConfig(source);
  EXPECT_TRUE(rebuilt.ok()) << rebuilt.status();
  return rebuilt.ok() ? *std::move(rebuilt) : RebuiltConfig{nullptr, *HfConfig::Parse("{}")};
}

TEST(ModelConfigTest, ComputesTheSameForEveryFamily) {
  // What no file tells of these: a window of Mistral's and Qwen 2's, the number by which Gemma's
  // scores are scaled where it is not the size of a head, frequencies that change with a text's
  // length, weights of experts that are not made to sum up to one.
  const std::set<std::string> untold = {"mistral-window", "qwen2-window",       "gemma2",
                                        "gemma3",         "llama-dynamic-rope", "qwen3-moe"};
  size_t models = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator(testing::GoldenDir() / "activations/models")) {
    const std::string name = entry.path().filename();
    SCOPED_TRACE(name);
    const RebuiltConfig rebuilt = Rebuild(SourceOfDirectory(entry.path()));
    ASSERT_NE(rebuilt.architecture, nullptr);
    EXPECT_EQ(rebuilt.config.architecture(), rebuilt.architecture->hf_names[0]);
    if (untold.contains(name)) continue;
    ExpectSameForward(*rebuilt.architecture, rebuilt.config, *HfConfig::Read(entry.path()));
    ++models;
  }
  EXPECT_EQ(models, 10u);
}

TEST(ModelConfigTest, TellsBiasesAndTheHeadByTheTensors) {
  const json untied = Rebuild(SourceOfDirectory(DirectoryOf("llama-bias-untied"))).config.file();
  EXPECT_EQ(untied["attention_bias"], true);
  EXPECT_EQ(untied["mlp_bias"], true);
  EXPECT_EQ(untied["tie_word_embeddings"], false);
  TestSource llama = SourceOfDirectory(DirectoryOf("llama"));
  llama.Remove("output.weight");
  const json tied = Rebuild(llama).config.file();
  EXPECT_EQ(tied["attention_bias"], false);
  EXPECT_EQ(tied["tie_word_embeddings"], true);
  EXPECT_EQ(tied["architectures"], json({"LlamaForCausalLM"}));
  EXPECT_EQ(tied["model_type"], "llama");
  EXPECT_EQ(tied["torch_dtype"], "float16");
  EXPECT_TRUE(tied["bos_token_id"].is_null());
}

TEST(ModelConfigTest, TellsMixtralByItsTensors) {
  EXPECT_EQ(Rebuild(SourceOfDirectory(DirectoryOf("mixtral"))).architecture, &kMixtral);
  EXPECT_EQ(Rebuild(SourceOfDirectory(DirectoryOf("mistral-window"))).architecture, &kLlama);
}

TEST(ModelConfigTest, TakesWhatRuntimesTake) {
  TestSource gemma = SourceOfDirectory(DirectoryOf("gemma2"));
  EXPECT_EQ(Rebuild(gemma).config.file()["query_pre_attn_scalar"],
            *gemma.keys.GetUnsigned("gemma2.attention.key_length"));
  TestSource llama = SourceOfDirectory(DirectoryOf("llama"));
  llama.keys.Remove("llama.rope.freq_base");
  llama.keys.Remove("llama.vocab_size");
  llama.keys.Remove("llama.attention.key_length");
  llama.keys.Remove("llama.attention.value_length");
  llama.keys.Set("llama.rope.scaling.finetuned", true);
  EXPECT_EQ(Rebuild(llama).config.file()["rope_theta"], 10000.0);
  EXPECT_EQ(Rebuild(SourceOfDirectory(DirectoryOf("qwen3-moe"))).config.file()["norm_topk_prob"],
            true);
}

// Frequencies of Llama 3.1 and 3.2, and of others that are told by their factors.
TEST(ModelConfigTest, FindsTheParametersOfLlama3sFrequencies) {
  for (const json& scaling : {json{{"factor", 8.0}, {"original_max_position_embeddings", 8192}},
                              json{{"factor", 32.0}, {"original_max_position_embeddings", 8192}},
                              json{{"factor", 4.5}, {"original_max_position_embeddings", 1024}}}) {
    SCOPED_TRACE(scaling.dump());
    json fields = HfConfig::Read(DirectoryOf("llama3-rope"))->file();
    fields["head_dim"] = 64;
    fields["rope_theta"] = 500000.0;
    fields["rope_scaling"] = scaling;
    fields["rope_scaling"].update(
        {{"rope_type", "llama3"}, {"low_freq_factor", 1.0}, {"high_freq_factor", 4.0}});
    const HfConfig config = *HfConfig::Parse(fields.dump());
    TestSource source = SourceOfDirectory(DirectoryOf("llama3-rope"));
    for (const char* key :
         {"attention.key_length", "attention.value_length", "rope.dimension_count"}) {
      source.keys.Set("llama." + std::string(key), uint32_t{64});
    }
    source.keys.Set("llama.rope.freq_base", 500000.0f);
    source.values["rope_freqs.weight"] = *RopeFreqs(config, *GeometryOf(config));
    source.Find("rope_freqs.weight")->dims = {32};
    EXPECT_EQ(Rebuild(source).config.file()["rope_scaling"], fields["rope_scaling"]);
  }
}

struct Damage {
  std::string_view model;
  std::function<void(TestSource&)> apply;
  std::string_view message;
  Error error = Error::kValidationFailed;
};

TEST(ModelConfigTest, RefusesWhatItCannotTell) {
  const Damage damages[] = {
      {"llama", [](TestSource& s) { s.keys.Remove("general.architecture"); },
       "general.architecture: found nothing, expected one of llama, qwen2, qwen3, gemma3, gemma2, "
       "phi3, qwen3moe"},
      {"llama", [](TestSource& s) { s.keys.Set("general.architecture", std::string("gpt2")); },
       "general.architecture: found \"gpt2\", expected one of llama",
       Error::kUnsupportedConversion},
      {"llama", [](TestSource& s) { s.keys.Set("general.architecture", 7.0f); },
       "general.architecture: found 7, expected a string"},
      {"llama", [](TestSource& s) { s.keys.Remove("llama.block_count"); },
       "llama.block_count: found nothing, expected 1 to "},
      {"llama", [](TestSource& s) { s.keys.Set("llama.block_count", 4000000000u); },
       "llama.block_count: found 4000000000, expected 1 to "},
      {"llama", [](TestSource& s) { s.keys.Set("llama.block_count", -1); },
       "llama.block_count: found -1, expected a whole number"},
      {"llama", [](TestSource& s) { s.keys.Remove("llama.feed_forward_length"); },
       "llama.feed_forward_length: found nothing, expected a number"},
      {"llama", [](TestSource& s) { s.keys.Remove("llama.context_length"); },
       "llama.context_length: found nothing"},
      {"llama", [](TestSource& s) { s.keys.Set("llama.embedding_length", std::string("32")); },
       "llama.embedding_length: found \"32\", expected a whole number"},
      {"llama", [](TestSource& s) { s.keys.Set("llama.attention.head_count", 0u); },
       "num_attention_heads: expected a whole number above 0, found 0"},
      {"llama",
       [](TestSource& s) {
         s.keys.Set("llama.attention.head_count", gguf::Array(std::vector<uint32_t>{4, 4}));
       },
       "llama.attention.head_count: found an array of 2 uint32, expected a whole number"},
      {"llama", [](TestSource& s) { s.keys.Set("llama.attention.layer_norm_rms_epsilon", 1); },
       "layer_norm_rms_epsilon: found 1, expected a finite float32"},
      {"llama", [](TestSource& s) { s.keys.Set("llama.attention.value_length", 77u); },
       "llama.attention.value_length: found 77, expected "},
      {"llama", [](TestSource& s) { s.keys.Set("llama.vocab_size", 77u); },
       "llama.vocab_size: found 77, expected 96, as other keys say"},
      {"llama", [](TestSource& s) { s.keys.Set("llama.rope.scaling.type", std::string("warp")); },
       "llama.rope.scaling.type: found \"warp\", expected no such key",
       Error::kUnsupportedConversion},
      {"llama", [](TestSource& s) { s.keys.Set("llama.rope.scaling.type", std::string("yarn")); },
       "llama.rope.scaling.factor: found nothing, expected a number"},
      {"llama", [](TestSource& s) { s.keys.Set("llama.attention.scale", 0.5f); },
       "llama.attention.scale: found 0.5, expected no such key: the configuration of "
       "LlamaForCausalLM has no field for it",
       Error::kUnsupportedConversion},
      {"llama", [](TestSource& s) { s.Remove("token_embd.weight"); },
       "tensor token_embd.weight: found nothing, expected one, as LlamaForCausalLM has it"},
      {"llama", [](TestSource& s) { s.list[3].name = "blk.0.attn_sinks.weight"; },
       "expected one, as LlamaForCausalLM has it"},
      {"llama",
       [](TestSource& s) {
         s.list.push_back({"blk.0.attn_q_norm.weight", {}, {16}, "", 0});
       },
       "tensor blk.0.attn_q_norm.weight: found a tensor, expected none of this name",
       Error::kUnsupportedConversion},
      {"llama",
       [](TestSource& s) {
         s.list.push_back({"blk.0.attn_q.bias", {}, {64}, "", 0});
       },
       "tensor blk.0.attn_k.bias: found nothing, expected a bias, as LlamaForCausalLM has all or "
       "none of them",
       Error::kUnsupportedConversion},
      {"llama",
       [](TestSource& s) {
         s.list.push_back({"blk.0.attn_norm.bias", {}, {32}, "", 0});
       },
       "tensor blk.0.attn_norm.bias: found a bias, expected none", Error::kUnsupportedConversion},
      {"qwen2", [](TestSource& s) { s.Remove("blk.0.attn_q.bias"); },
       "tensor blk.0.attn_q.bias: found nothing, expected a bias, as Qwen2ForCausalLM has always"},
      {"llama3-rope", [](TestSource& s) { s.values["rope_freqs.weight"].back() = 5; },
       "tensor rope_freqs.weight: found "},
      {"llama3-rope", [](TestSource& s) { s.Find("rope_freqs.weight")->dims = {1ull << 40}; },
       "expected 1 x at most 32768 of type F32"},
      {"phi3-long", [](TestSource& s) { s.Remove("rope_factors_short.weight"); },
       "tensor rope_factors_short.weight: found nothing, expected one, as there is "
       "rope_factors_long.weight"},
      {"phi3-long", [](TestSource& s) { s.values["rope_factors_long.weight"][0] = NAN; },
       "tensor rope_factors_long.weight: found nan, expected numbers"},
      {"phi3-long", [](TestSource& s) { s.keys.Set("phi3.rope.scaling.attn_factor", 3.0f); },
       "phi3.rope.scaling.attn_factor: found 3, expected ", Error::kUnsupportedConversion},
      {"qwen2",
       [](TestSource& s) {
         s.list.push_back({"rope_freqs.weight", {}, {4}, "", 0});
       },
       "tensor rope_freqs.weight: found a tensor, expected none of this name",
       Error::kUnsupportedConversion},
      {"phi3-long", [](TestSource& s) { s.keys.Set("phi3.rope.dimension_count", 1u << 30); },
       "phi3.rope.dimension_count: found 1073741824, expected 1 to the "},
      {"mixtral", [](TestSource& s) { s.keys.Remove("llama.expert_used_count"); },
       "llama.expert_used_count: found nothing, expected a number"},
      {"qwen3-moe", [](TestSource& s) { s.keys.Remove("qwen3moe.expert_feed_forward_length"); },
       "qwen3moe.expert_feed_forward_length: found nothing, expected a number"},
  };
  for (const Damage& damage : damages) {
    SCOPED_TRACE(std::string(damage.message));
    TestSource source = SourceOfDirectory(DirectoryOf(damage.model));
    damage.apply(source);
    const auto rebuilt = RebuildConfig(source);
    ASSERT_FALSE(rebuilt.ok());
    EXPECT_EQ(ErrorOf(rebuilt.status()), damage.error) << rebuilt.status();
    EXPECT_THAT(std::string(rebuilt.status().message()), HasSubstr(std::string(damage.message)));
    EXPECT_EQ(SuggestionOf(rebuilt.status()).empty(),
              damage.message.starts_with("num_attention_heads"));  // as config.json's own errors
  }
}

}  // namespace
}  // namespace quantized
