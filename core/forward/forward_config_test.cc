#include "core/forward/forward_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/base/error.h"

namespace quantized {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Without a model_type: no class fills in what the test leaves out.
json Fields(const json& more = json::object()) {
  json fields = {{"num_hidden_layers", 4},   {"hidden_size", 32},        {"intermediate_size", 48},
                 {"num_attention_heads", 4}, {"num_key_value_heads", 2}, {"head_dim", 16},
                 {"rms_norm_eps", 1e-6}};
  fields.update(more);
  return fields;
}

absl::StatusOr<ForwardConfig> Make(const Architecture& architecture, const json& fields) {
  const auto config = HfConfig::Parse(fields.dump());
  EXPECT_TRUE(config.ok()) << config.status();
  if (!config.ok()) return config.status();
  return ForwardConfigOf(architecture, *config);
}

std::vector<uint32_t> Windows(const Architecture& architecture, const json& fields) {
  const auto config = Make(architecture, fields);
  EXPECT_TRUE(config.ok()) << config.status();
  std::vector<uint32_t> windows;
  if (!config.ok()) return windows;
  for (const ForwardConfig::Layer& layer : config->layers) windows.push_back(layer.window);
  return windows;
}

TEST(ForwardConfigTest, TakesSizesAndScales) {
  const auto config = Make(kLlama, Fields());
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->architecture, &kLlama);
  EXPECT_EQ(config->query_size(), 64u);
  EXPECT_EQ(config->key_size(), 32u);
  EXPECT_EQ(config->norm_epsilon, 1e-6f);
  EXPECT_EQ(config->embedding_scale, 1.0f);
  EXPECT_EQ(config->attention_scale, 0.25f);
  EXPECT_EQ(config->attention_softcap, 0.0f);
  EXPECT_EQ(config->final_softcap, 0.0f);
  EXPECT_EQ(config->experts, 0u);
}

TEST(ForwardConfigTest, GemmaScalesAndCaps) {
  const auto standard = Make(kGemma2, Fields());
  ASSERT_TRUE(standard.ok()) << standard.status();
  EXPECT_EQ(standard->embedding_scale, std::sqrt(32.0f));
  EXPECT_EQ(standard->attention_scale, 1.0f / 16);  // of the default scalar, 256
  EXPECT_EQ(standard->attention_softcap, 50.0f);
  EXPECT_EQ(standard->final_softcap, 30.0f);

  const auto said = Make(kGemma2, Fields({{"query_pre_attn_scalar", 64},
                                          {"attn_logit_softcapping", 5},
                                          {"final_logit_softcapping", nullptr}}));
  ASSERT_TRUE(said.ok()) << said.status();
  EXPECT_EQ(said->attention_scale, 1.0f / 8);
  EXPECT_EQ(said->attention_softcap, 5.0f);
  EXPECT_EQ(said->final_softcap, 0.0f) << "null: none";

  // A family without the scalar does not look at the field.
  const auto llama = Make(kLlama, Fields({{"query_pre_attn_scalar", 64}}));
  ASSERT_TRUE(llama.ok()) << llama.status();
  EXPECT_EQ(llama->attention_scale, 0.25f);
}

TEST(ForwardConfigTest, WindowsAreThoseOfTheFamily) {
  const json window = Fields({{"sliding_window", 7}});
  EXPECT_THAT(Windows(kMistral, window), ElementsAre(7, 7, 7, 7));
  EXPECT_THAT(Windows(kMistral, Fields({{"sliding_window", nullptr}})), ElementsAre(0, 0, 0, 0));
  EXPECT_THAT(Windows(kMistral, Fields()), ElementsAre(0, 0, 0, 0));
  EXPECT_THAT(Windows(kGemma2, window), ElementsAre(7, 0, 7, 0));
  EXPECT_THAT(Windows(kQwen2, window), ElementsAre(0, 0, 0, 0)) << "use_sliding_window is false";
  json qwen = window;
  qwen.update({{"use_sliding_window", true}, {"max_window_layers", 2}});
  EXPECT_THAT(Windows(kQwen2, qwen), ElementsAre(0, 0, 7, 7));
  json gemma3 = window;
  gemma3["num_hidden_layers"] = 7;
  EXPECT_THAT(Windows(kGemma3, gemma3), ElementsAre(7, 7, 7, 7, 7, 0, 7));
  gemma3["sliding_window_pattern"] = 2;
  EXPECT_THAT(Windows(kGemma3, gemma3), ElementsAre(7, 0, 7, 0, 7, 0, 7));
}

TEST(ForwardConfigTest, LayerTypesComeFirst) {
  const json types = {"full_attention", "sliding_attention", "sliding_attention", "full_attention"};
  for (const Architecture* architecture : {&kMistral, &kQwen2, &kGemma2, &kGemma3}) {
    SCOPED_TRACE(std::string(architecture->hf_names[0]));
    EXPECT_THAT(Windows(*architecture, Fields({{"sliding_window", 7}, {"layer_types", types}})),
                ElementsAre(0, 7, 7, 0));
  }
}

TEST(ForwardConfigTest, SlidingLayersRotateByTheirOwnBlock) {
  const json more = {{"sliding_window", 7}, {"sliding_window_pattern", 2}};
  json fields = Fields(more);
  auto config = Make(kGemma3, fields);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_FALSE(config->layers[0].local_rotation) << "there is no block for sliding attention";
  fields["rope_local_base_freq"] = 1e4;
  config = Make(kGemma3, fields);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_TRUE(config->layers[0].local_rotation);
  EXPECT_FALSE(config->layers[1].local_rotation);
}

TEST(ForwardConfigTest, Experts) {
  const auto mixtral =
      Make(kMixtral, Fields({{"num_local_experts", 8}, {"num_experts_per_tok", 2}}));
  ASSERT_TRUE(mixtral.ok()) << mixtral.status();
  EXPECT_EQ(mixtral->experts, 8u);
  EXPECT_EQ(mixtral->experts_per_token, 2u);
  EXPECT_EQ(mixtral->expert_feed_forward, 48u);
  EXPECT_TRUE(mixtral->normalizes_expert_weights);

  const auto qwen = Make(kQwen3Moe, Fields({{"num_experts", 16},
                                            {"num_experts_per_tok", 4},
                                            {"moe_intermediate_size", 24},
                                            {"norm_topk_prob", false}}));
  ASSERT_TRUE(qwen.ok()) << qwen.status();
  EXPECT_EQ(qwen->experts, 16u);
  EXPECT_EQ(qwen->expert_feed_forward, 24u);
  EXPECT_FALSE(qwen->normalizes_expert_weights);
}

TEST(ForwardConfigTest, EachRefusalNamesFieldAndFound) {
  struct Case {
    const Architecture* architecture;
    json more;
    std::string field, found;
  };
  const json three = {"full_attention", "full_attention", "full_attention"};
  const json unknown = {"full_attention", "chunked_attention", "full_attention", "full_attention"};
  const Case cases[] = {
      {&kLlama, {{"hidden_size", nullptr}}, "hidden_size", "nothing"},
      {&kLlama, {{"num_key_value_heads", 3}}, "num_key_value_heads", "found 3"},
      {&kLlama, {{"rms_norm_eps", nullptr}}, "rms_norm_eps", "nothing"},
      {&kLlama, {{"rms_norm_eps", 0}}, "rms_norm_eps", "found 0"},
      {&kLlama, {{"rms_norm_eps", -1e-6}}, "rms_norm_eps", "found -1e-06"},
      {&kLlama, {{"rms_norm_eps", "small"}}, "rms_norm_eps", "small"},
      {&kLlama, {{"hidden_act", 3}}, "hidden_act", "found 3"},
      {&kMistral, {{"sliding_window", -4}}, "sliding_window", "found -4"},
      {&kMistral, {{"sliding_window", 3.5}}, "sliding_window", "found 3.5"},
      {&kGemma3, {{"layer_types", three}}, "layer_types", "a list of 4 names"},
      {&kGemma3, {{"layer_types", "full_attention"}}, "layer_types", "full_attention"},
      {&kGemma3, {{"layer_types", unknown}}, "layer_types[1]", "chunked_attention"},
      {&kGemma3, {{"sliding_window_pattern", 0}}, "sliding_window_pattern", "found 0"},
      {&kGemma3, {{"sliding_window_pattern", "x"}}, "sliding_window_pattern", "x"},
      {&kGemma2, {{"query_pre_attn_scalar", -1}}, "query_pre_attn_scalar", "found -1"},
      {&kGemma2, {{"attn_logit_softcapping", "x"}}, "attn_logit_softcapping", "x"},
      {&kGemma2, {{"final_logit_softcapping", -30}}, "final_logit_softcapping", "found -30"},
      {&kQwen2, {{"use_sliding_window", "yes"}}, "use_sliding_window", "yes"},
      {&kQwen2, {{"max_window_layers", -1}}, "max_window_layers", "found -1"},
      {&kMixtral, {{"num_local_experts", 8}}, "num_experts_per_tok", "found 0"},
      {&kMixtral,
       {{"num_local_experts", 8}, {"num_experts_per_tok", 9}},
       "num_experts_per_tok",
       "found 9"},
      {&kMixtral,
       {{"num_local_experts", 5000}, {"num_experts_per_tok", 2}},
       "num_experts_per_tok",
       "at most 4096"},
      {&kQwen3Moe,
       {{"num_experts", 8}, {"num_experts_per_tok", 2}, {"norm_topk_prob", 1}},
       "norm_topk_prob",
       "found 1"},
  };
  for (const Case& one : cases) {
    SCOPED_TRACE(one.more.dump());
    const auto config = Make(*one.architecture, Fields(one.more));
    ASSERT_FALSE(config.ok());
    EXPECT_EQ(ErrorOf(config.status()), Error::kValidationFailed) << config.status();
    EXPECT_THAT(std::string(config.status().message()),
                AllOf(HasSubstr("config.json: "), HasSubstr(one.field), HasSubstr(one.found)));
  }
}

TEST(ForwardConfigTest, OtherActivationsAreNotInThisVersion) {
  struct Case {
    const Architecture* architecture;
    std::string field, name;
    bool known;
  };
  const Case cases[] = {
      {&kLlama, "hidden_act", "silu", true},
      {&kLlama, "hidden_act", "swish", true},
      {&kLlama, "hidden_act", "relu", false},
      {&kLlama, "hidden_act", "gelu_pytorch_tanh", false},
      {&kGemma2, "hidden_activation", "gelu_pytorch_tanh", true},
      {&kGemma2, "hidden_activation", "silu", false},
      {&kGemma2, "hidden_act", "gelu", true},  // which its class does not look at
  };
  for (const Case& one : cases) {
    SCOPED_TRACE(one.field + " " + one.name);
    const auto config = Make(*one.architecture, Fields({{one.field, one.name}}));
    EXPECT_EQ(config.ok(), one.known) << config.status();
    if (config.ok() || one.known) continue;
    EXPECT_EQ(ErrorOf(config.status()), Error::kNotImplemented);
    EXPECT_THAT(std::string(config.status().message()),
                AllOf(HasSubstr(one.field), HasSubstr(one.name)));
  }
}

}  // namespace
}  // namespace quantized
