#include "core/forward/layer_weights.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/forward/test_model.h"

namespace quantized {
namespace {

using ::testing::AllOf;
using testing::AlteredSource;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::OpenModel;
using ::testing::SizeIs;

std::vector<float> Stored(const OpenModel& model, std::string_view name) {
  const TensorSource::Tensor* tensor = model.source().Find(name);
  EXPECT_NE(tensor, nullptr) << name;
  if (tensor == nullptr) return {};
  const uint64_t rows = tensor->shape.size() == 1 ? 1 : tensor->shape[0];
  std::vector<float> values(rows * tensor->shape.back());
  EXPECT_TRUE(model.source().ReadRows(*tensor, 0, rows, values.data()).ok());
  return values;
}

TEST(LayerWeightsTest, AttentionIsWhatTheCheckpointHas) {
  const OpenModel model("llama-bias-untied");
  const auto weights = LoadAttention(model.config(), model.source(), 1);
  ASSERT_TRUE(weights.ok()) << weights.status();
  ASSERT_THAT(weights->qkv, SizeIs(3));
  const Linear& key = weights->qkv[1];
  EXPECT_EQ(key.module, "model.layers.1.self_attn.k_proj");
  EXPECT_EQ(key.gguf_name, "blk.1.attn_k.weight");
  EXPECT_EQ(key.weight.rows, 24u);
  EXPECT_EQ(key.weight.cols, 32u);
  EXPECT_EQ(key.weight.values, Stored(model, "layers.1.self_attn.k_proj.weight"));
  EXPECT_EQ(key.bias, Stored(model, "layers.1.self_attn.k_proj.bias"));
  EXPECT_EQ(weights->output.module, "model.layers.1.self_attn.o_proj");
  EXPECT_EQ(weights->output.weight.cols, 48u);
  EXPECT_THAT(weights->output.bias, SizeIs(32));
  EXPECT_EQ(weights->input_norm.module, "model.layers.1.input_layernorm");
  EXPECT_EQ(weights->input_norm.factors, Stored(model, "layers.1.input_layernorm.weight"));
  EXPECT_EQ(weights->input_norm.offset, 0.0f);
  EXPECT_THAT(weights->query_norm.factors, IsEmpty());
  EXPECT_THAT(weights->output_norm.factors, IsEmpty());
}

TEST(LayerWeightsTest, NormsKeptAsDistanceFromOneGetIt) {
  const OpenModel model("gemma3");
  const auto attention = LoadAttention(model.config(), model.source(), 0);
  ASSERT_TRUE(attention.ok()) << attention.status();
  const auto feed_forward = LoadFeedForward(model.config(), model.source(), 0);
  ASSERT_TRUE(feed_forward.ok()) << feed_forward.status();
  struct Case {
    const Norm* norm;
    std::string name;
  };
  for (const Case& one : {Case{&attention->input_norm, "input_layernorm"},
                          {&attention->query_norm, "self_attn.q_norm"},
                          {&attention->key_norm, "self_attn.k_norm"},
                          {&attention->output_norm, "post_attention_layernorm"},
                          {&feed_forward->input_norm, "pre_feedforward_layernorm"},
                          {&feed_forward->output_norm, "post_feedforward_layernorm"}}) {
    SCOPED_TRACE(one.name);
    std::vector<float> want = Stored(model, "layers.0." + one.name + ".weight");
    for (float& value : want) value += 1;
    EXPECT_EQ(one.norm->factors, want);
    EXPECT_EQ(one.norm->offset, 1.0f);
    EXPECT_EQ(one.norm->module, "model.layers.0." + one.name);
  }
}

TEST(LayerWeightsTest, FusedProjectionsStayOne) {
  const OpenModel model("phi3-short");
  const auto attention = LoadAttention(model.config(), model.source(), 0);
  ASSERT_TRUE(attention.ok()) << attention.status();
  ASSERT_THAT(attention->qkv, SizeIs(1));
  EXPECT_EQ(attention->qkv[0].module, "model.layers.0.self_attn.qkv_proj");
  EXPECT_EQ(attention->qkv[0].weight.rows, 64u);
  const auto expert = LoadExpert(model.config(), model.source(), 0, 0);
  ASSERT_TRUE(expert.ok()) << expert.status();
  ASSERT_THAT(expert->gate_up, SizeIs(1));
  EXPECT_EQ(expert->gate_up[0].module, "model.layers.0.mlp.gate_up_proj");
  EXPECT_EQ(expert->gate_up[0].weight.rows, 96u);
}

TEST(LayerWeightsTest, ExpertsOfAMixture) {
  const OpenModel model("qwen3-moe");
  const auto shared = LoadFeedForward(model.config(), model.source(), 1);
  ASSERT_TRUE(shared.ok()) << shared.status();
  EXPECT_TRUE(shared->is_mixture());
  EXPECT_EQ(shared->experts, 4u);
  EXPECT_EQ(shared->width, 24u);
  EXPECT_EQ(shared->router.module, "model.layers.1.mlp.gate");
  EXPECT_EQ(shared->router.weight.values, Stored(model, "layers.1.mlp.gate.weight"));
  const auto expert = LoadExpert(model.config(), model.source(), 1, 3);
  ASSERT_TRUE(expert.ok()) << expert.status();
  ASSERT_THAT(expert->gate_up, SizeIs(2));
  EXPECT_EQ(expert->gate_up[1].module, "model.layers.1.mlp.experts.3.up_proj");
  EXPECT_EQ(expert->down.weight.values, Stored(model, "layers.1.mlp.experts.3.down_proj.weight"));

  const OpenModel dense("qwen3");
  const auto alone = LoadFeedForward(dense.config(), dense.source(), 1);
  ASSERT_TRUE(alone.ok()) << alone.status();
  EXPECT_FALSE(alone->is_mixture());
  EXPECT_EQ(alone->experts, 1u);
  EXPECT_EQ(alone->width, 48u);
}

TEST(LayerWeightsTest, MissingAndMisshapenTensorsAreNamed) {
  const OpenModel model("llama-bias-untied");
  const std::string attention[] = {"layers.0.input_layernorm.weight",
                                   "layers.0.self_attn.q_proj.weight",
                                   "layers.0.self_attn.o_proj.weight"};
  const std::string feed_forward[] = {"layers.0.mlp.gate_proj.weight",
                                      "layers.0.mlp.down_proj.weight"};
  const auto load = [&](const AlteredSource& source, bool of_attention) {
    return of_attention ? LoadAttention(model.config(), source, 0).status()
                        : LoadExpert(model.config(), source, 0, 0).status();
  };
  const auto expect = [&](const std::string& name, bool of_attention) {
    SCOPED_TRACE(name);
    AlteredSource source(model.source());
    source.hidden = name;
    absl::Status status = load(source, of_attention);
    ASSERT_FALSE(status.ok());
    EXPECT_EQ(ErrorOf(status), Error::kValidationFailed) << status;
    EXPECT_THAT(std::string(status.message()),
                HasSubstr("tensor " + name + ": found nothing, expected shape"));
    source.hidden = "";
    source.misshapen = name;
    status = load(source, of_attention);
    ASSERT_FALSE(status.ok());
    EXPECT_EQ(ErrorOf(status), Error::kValidationFailed) << status;
    EXPECT_THAT(
        std::string(status.message()),
        AllOf(HasSubstr("tensor " + name), HasSubstr("found shape"), HasSubstr("expected shape")));
  };
  for (const std::string& name : attention) expect(name, true);
  for (const std::string& name : feed_forward) expect(name, false);

  // A bias that is there has to fit; one that is not there is none.
  AlteredSource source(model.source());
  source.misshapen = "layers.0.self_attn.q_proj.bias";
  const auto misshapen = LoadAttention(model.config(), source, 0);
  ASSERT_FALSE(misshapen.ok());
  EXPECT_THAT(std::string(misshapen.status().message()), HasSubstr(source.misshapen));
  source.hidden = source.misshapen;
  const auto without = LoadAttention(model.config(), source, 0);
  ASSERT_TRUE(without.ok()) << without.status();
  EXPECT_THAT(without->qkv[0].bias, IsEmpty());
}

TEST(LayerWeightsTest, MissingFusedProjectionsAreNamed) {
  const OpenModel model("phi3-short");
  AlteredSource source(model.source());
  source.hidden = "layers.0.self_attn.qkv_proj.weight";
  const auto attention = LoadAttention(model.config(), source, 0);
  ASSERT_FALSE(attention.ok());
  EXPECT_EQ(ErrorOf(attention.status()), Error::kValidationFailed) << attention.status();
  EXPECT_THAT(std::string(attention.status().message()), HasSubstr(source.hidden));
  source.hidden = "layers.0.mlp.gate_up_proj.weight";
  const auto expert = LoadExpert(model.config(), source, 0, 0);
  ASSERT_FALSE(expert.ok());
  EXPECT_EQ(ErrorOf(expert.status()), Error::kValidationFailed) << expert.status();
  EXPECT_THAT(std::string(expert.status().message()), HasSubstr(source.hidden));
}

TEST(LayerWeightsTest, RolesOutsideLayers) {
  const OpenModel model("gemma2");
  const auto norm = LoadFinalNorm(model.config(), model.source());
  ASSERT_TRUE(norm.ok()) << norm.status();
  EXPECT_EQ(norm->module, "model.norm");
  std::vector<float> want = Stored(model, "norm.weight");
  for (float& value : want) value += 1;
  EXPECT_EQ(norm->factors, want);
  const TensorSource::Tensor* embedding = FindByRole(model.config(), model.source(), "token_embd");
  ASSERT_NE(embedding, nullptr);
  EXPECT_EQ(embedding->name, "model.embed_tokens.weight");
  EXPECT_EQ(FindByRole(model.config(), model.source(), "output"), nullptr) << "tied";
  EXPECT_EQ(FindByRole(model.config(), model.source(), "no such role"), nullptr);
  AlteredSource source(model.source());
  source.hidden = "norm.weight";
  EXPECT_FALSE(LoadFinalNorm(model.config(), source).ok());
}

}  // namespace
}  // namespace quantized
