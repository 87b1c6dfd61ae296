#include "core/arch/architecture.h"

#include <cmath>
#include <set>
#include <string>

#include "core/arch/geometry.h"
#include "core/arch/metadata_keys.h"
#include "core/arch/rope_freqs.h"
#include "core/arch/tensor_names.h"
#include "core/base/error.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace quantized {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

HfConfig Config(std::string_view text) {
  auto config = HfConfig::Parse(text);
  EXPECT_TRUE(config.ok()) << config.status();
  return *std::move(config);
}

std::string Message(const absl::Status& status) {
  EXPECT_FALSE(status.ok());
  EXPECT_EQ(ErrorOf(status), Error::kValidationFailed);
  return std::string(status.message());
}

TEST(Architectures, RowsAreSound) {
  std::set<std::string_view> names;
  for (const Architecture* row : AllArchitectures()) {
    SCOPED_TRACE(row->gguf_name);
    ASSERT_FALSE(row->hf_names.empty());
    for (const std::string_view name : row->hf_names) {
      EXPECT_TRUE(names.insert(name).second) << name;
      EXPECT_EQ(FindArchitecture(name), row);
    }
    std::set<std::string_view> hf, gguf;
    for (const TensorRule& rule : row->tensors) {
      EXPECT_TRUE(hf.insert(rule.hf).second) << rule.hf;
      EXPECT_TRUE(gguf.insert(rule.gguf).second) << rule.gguf;
      EXPECT_EQ(rule.hf.find("{i}") == std::string_view::npos,
                rule.gguf.find("{i}") == std::string_view::npos);
      EXPECT_NE(rule.cols, Dim::kNone);
      // What the reference shifts by one are the norms, and all of an architecture or none.
      EXPECT_EQ(rule.transform == Transform::kAddOne, row == &kGemma3 && rule.hf.ends_with("norm"));
    }
  }
  EXPECT_EQ(FindArchitecture("GPT2LMHeadModel"), nullptr);
  EXPECT_EQ(FindArchitecture(""), nullptr);
}

std::string GgufNameOf(const Architecture& architecture, std::string_view name) {
  const auto match = MatchTensorName(architecture, 12, name);
  if (!match.ok()) return "error";
  return match->has_value() ? (*match)->gguf_name : "dropped";
}

TEST(TensorNames, MapsModulesWithTheirSuffix) {
  EXPECT_EQ(GgufNameOf(kLlama, "lm_head.weight"), "output.weight");
  EXPECT_EQ(GgufNameOf(kLlama, "model.layers.10.self_attn.q_proj.bias"), "blk.10.attn_q.bias");
  EXPECT_EQ(GgufNameOf(kQwen3, "model.layers.0.self_attn.q_norm.weight"),
            "blk.0.attn_q_norm.weight");
  EXPECT_EQ(GgufNameOf(kGemma3, "model.layers.3.post_feedforward_layernorm.weight"),
            "blk.3.post_ffw_norm.weight");
  // Base models and embedding models leave the outer module out.
  EXPECT_EQ(GgufNameOf(kQwen3, "layers.1.mlp.up_proj.weight"), "blk.1.ffn_up.weight");
  EXPECT_EQ(GgufNameOf(kQwen2, "embed_tokens.weight"), "token_embd.weight");
}

TEST(TensorNames, TextPartOfAWrapper) {
  EXPECT_EQ(GgufNameOf(kGemma3, "language_model.model.norm.weight"), "output_norm.weight");
  EXPECT_EQ(GgufNameOf(kGemma3, "model.language_model.norm.weight"), "output_norm.weight");
  EXPECT_EQ(GgufNameOf(kLlama, "model.text_model.norm.weight"), "output_norm.weight");
  EXPECT_EQ(GgufNameOf(kQwen2, "model.text_model.norm.weight"), "error");
}

TEST(TensorNames, DropsOtherModalitiesAndBuffers) {
  for (const char* name :
       {"vision_tower.vision_model.encoder.layers.0.mlp.fc1.weight", "mlp1.0.weight",
        "multi_modal_projector.mm_input_projection_weight", "visual.patch_embed.proj.weight",
        "model.layers.0.self_attn.rotary_emb.inv_freq", "audio_tower.conv1.weight"}) {
    EXPECT_EQ(GgufNameOf(kGemma3, name), "dropped") << name;
  }
}

TEST(TensorNames, RefusesWhatHasNoPlace) {
  for (const char* name :
       {"", "weight", ".weight", "model.layers.0.self_attn.q_norm.weight", "model.layers.x.weight",
        "model.layers..mlp.up_proj.weight", "model.layers.-1.mlp.up_proj.weight",
        "model.layers.0.mlp.up_proj", "model.layers.0.mlp.up_proj.weight_scale_inv",
        "model.layers.99999999999999999999.mlp.up_proj.weight",
        "model.layers.0.block_sparse_moe.gate.weight", "model.model.norm.weight"}) {
    EXPECT_EQ(GgufNameOf(kLlama, name), "error") << name;
  }
  EXPECT_THAT(Message(MatchTensorName(kLlama, 2, "model.odd.weight").status()),
              HasSubstr("tensor model.odd.weight: expected a tensor of a llama model"));
  EXPECT_THAT(Message(MatchTensorName(kLlama, 2, "model.layers.2.mlp.up_proj.weight").status()),
              HasSubstr("layer 2 is beyond the 2 layers of config.json: num_hidden_layers"));
}

constexpr std::string_view kSizes = R"("hidden_size": 64, "intermediate_size": 96,
    "num_hidden_layers": 2, "num_attention_heads": 4)";

TEST(Geometry, FillsInWhatFollowsFromTheRest) {
  const auto geometry = GeometryOf(Config("{" + std::string(kSizes) + "}"));
  ASSERT_TRUE(geometry.ok()) << geometry.status();
  EXPECT_EQ(geometry->kv_heads, 4u);
  EXPECT_EQ(geometry->head_dim, 16u);
  EXPECT_EQ(geometry->Size(Dim::kQuery), 64u);
  EXPECT_EQ(geometry->Size(Dim::kVocabulary), 0u);
}

TEST(Geometry, HeadDimMayDifferFromHiddenOverHeads) {
  const auto geometry = GeometryOf(
      Config("{" + std::string(kSizes) + R"(, "head_dim": 32, "num_key_value_heads": 2})"));
  ASSERT_TRUE(geometry.ok()) << geometry.status();
  EXPECT_EQ(geometry->Size(Dim::kQuery), 128u);
  EXPECT_EQ(geometry->Size(Dim::kKeyValue), 64u);
}

TEST(Geometry, RefusesSizesThatCannotBe) {
  struct Case {
    std::string_view field, value, message;
  };
  for (const Case& c : {
           Case{"num_attention_heads", "0", "num_attention_heads: expected a whole number above 0"},
           Case{"hidden_size", "null", "hidden_size: expected a whole number above 0"},
           Case{"hidden_size", "-5", "hidden_size: expected a whole number from 0"},
           Case{"hidden_size", "1e999999", "bad syntax"},
           Case{"num_hidden_layers", "4000000000", "num_hidden_layers: expected at most 4096"},
           Case{"num_key_value_heads", "3", "expected a divisor of the 4 attention heads, found 3"},
           Case{"num_key_value_heads", "8", "expected a divisor of the 4 attention heads, found 8"},
           Case{"head_dim", "4000000000", "head_dim: expected at most 65536, found 4000000000"},
           Case{"head_dim", "0", "head_dim: expected a whole number above 0"},
       }) {
    SCOPED_TRACE(c.field);
    auto object = nlohmann::json::parse("{" + std::string(kSizes) + "}");
    object[std::string(c.field)] = "VALUE";
    std::string text = object.dump();
    text.replace(text.find("\"VALUE\""), 7, c.value);
    const auto config = HfConfig::Parse(text);
    const absl::Status status = config.ok() ? GeometryOf(*config).status() : config.status();
    EXPECT_THAT(Message(status), HasSubstr(std::string(c.message)));
  }
}

// The rope block's keys for one configuration.
gguf::Metadata Keys(const Architecture& architecture, std::string_view members) {
  gguf::Metadata metadata;
  const absl::Status status = AppendArchitectureMetadata(
      architecture, Config("{" + std::string(kSizes) + std::string(members) + "}"), 1, metadata);
  EXPECT_TRUE(status.ok()) << status;
  return metadata;
}
std::string KeysRefusal(const Architecture& architecture, std::string_view members) {
  gguf::Metadata metadata;
  return Message(AppendArchitectureMetadata(
      architecture, Config("{" + std::string(kSizes) + std::string(members) + "}"), 1, metadata));
}
std::vector<std::string> Names(const gguf::Metadata& metadata) {
  std::vector<std::string> names;
  for (const auto& entry : metadata.entries()) names.push_back(entry.key);
  return names;
}

TEST(MetadataKeys, OrderOfTheSharedOnes) {
  EXPECT_THAT(Names(Keys(kQwen2, R"(, "max_position_embeddings": 8, "rms_norm_eps": 1e-6,
                                     "rope_theta": 10000, "is_causal": false, "head_dim": 16)")),
              ElementsAre("qwen2.block_count", "qwen2.context_length", "qwen2.embedding_length",
                          "qwen2.feed_forward_length", "qwen2.attention.head_count",
                          "qwen2.attention.causal", "qwen2.rope.freq_base",
                          "qwen2.attention.layer_norm_rms_epsilon", "qwen2.attention.key_length",
                          "qwen2.attention.value_length", "general.file_type"));
}

TEST(MetadataKeys, YarnWritesWhatItsBlockHolds) {
  const gguf::Metadata keys = Keys(kQwen2, R"(, "rope_scaling": {"rope_type": "yarn", "factor": 4,
      "original_max_position_embeddings": 32768, "attn_factor": 1.5, "beta_fast": 32})");
  EXPECT_EQ(*keys.Get<std::string>("qwen2.rope.scaling.type"), "yarn");
  EXPECT_EQ(*keys.Get<float>("qwen2.rope.scaling.factor"), 4.0f);
  EXPECT_EQ(*keys.Get<uint32_t>("qwen2.rope.scaling.original_context_length"), 32768u);
  EXPECT_EQ(*keys.Get<float>("qwen2.rope.scaling.yarn_attn_factor"), 1.5f);
  EXPECT_EQ(*keys.Get<float>("qwen2.rope.scaling.yarn_beta_fast"), 32.0f);
  EXPECT_EQ(keys.Find("qwen2.rope.scaling.yarn_beta_slow"), nullptr);
}

TEST(MetadataKeys, OtherRopeTypesWriteNoScaling) {
  for (const char* block :
       {R"({"rope_type": "dynamic", "factor": 2})", R"({"rope_type": "llama3", "factor": 2})",
        R"({"type": "yarn"})", R"({"rope_type": "default"})", R"({"factor": 2})"}) {
    const gguf::Metadata keys = Keys(kQwen2, std::string(R"(, "rope_scaling": )") + block);
    EXPECT_EQ(keys.Find("qwen2.rope.scaling.type"), nullptr) << block;
  }
}

TEST(MetadataKeys, SectionsArePaddedToFour) {
  const gguf::Metadata keys =
      Keys(kQwen2, R"(, "rope_scaling": {"type": "mrope", "mrope_section": [16, 24, 24]})");
  EXPECT_EQ(*keys.Get<gguf::Array>("qwen2.rope.dimension_sections"),
            gguf::Array(std::vector<int32_t>{16, 24, 24, 0}));
}

TEST(MetadataKeys, RefusesFieldsThatDoNotFit) {
  EXPECT_THAT(KeysRefusal(kQwen2, R"(, "max_position_embeddings": 1e12)"),
              HasSubstr("config.json: max_position_embeddings: expected a whole number from 0 to "
                        "4294967295, found 1000000000000.0"));
  EXPECT_THAT(KeysRefusal(kQwen2, R"(, "rms_norm_eps": "small")"),
              HasSubstr("config.json: rms_norm_eps: expected a number, found \"small\""));
  EXPECT_THAT(KeysRefusal(kQwen2, R"(, "rope_scaling": {"rope_type": 3})"),
              HasSubstr("rope_type: expected a name, found 3"));
  EXPECT_THAT(KeysRefusal(kQwen2, R"(, "rope_scaling": {"rope_type": "yarn", "factor": 4})"),
              HasSubstr("original_max_position_embeddings: expected a whole number for rope type "
                        "yarn, found nothing"));
  EXPECT_THAT(KeysRefusal(kQwen2, R"(, "rope_scaling": {"mrope_section": 1})"),
              HasSubstr("mrope_section: expected a list, found 1"));
  EXPECT_THAT(KeysRefusal(kLlama, ""), HasSubstr("vocab_size: expected a number, found nothing"));
  EXPECT_THAT(KeysRefusal(kGemma3, R"(, "sliding_window": null)"),
              HasSubstr("sliding_window: expected a number, found null"));
}

TEST(MetadataKeys, GemmaWithoutLocalLayersHasNoWindow) {
  const gguf::Metadata keys = Keys(kGemma3, R"(, "sliding_window": 512,
      "sliding_window_pattern": 1, "final_logit_softcapping": 30)");
  EXPECT_EQ(keys.Find("gemma3.attention.sliding_window"), nullptr);
  EXPECT_EQ(*keys.Get<float>("gemma3.final_logit_softcapping"), 30.0f);
}

constexpr std::string_view kLlama3Rope = R"(, "rope_theta": 500000, "rope_scaling": {
    "rope_type": "llama3", "factor": 32, "low_freq_factor": 1, "high_freq_factor": 4,
    "original_max_position_embeddings": 8192})";

TEST(RopeFreqs, StretchesTheSlowFrequenciesOnly) {
  const HfConfig config =
      Config("{" + std::string(kSizes) + std::string(kLlama3Rope) + R"(, "head_dim": 64})");
  const auto freqs = RopeFreqs(config, *GeometryOf(config));
  ASSERT_TRUE(freqs.ok()) << freqs.status();
  ASSERT_EQ(freqs->size(), 32u);
  EXPECT_EQ(freqs->front(), 1.0f);
  EXPECT_EQ(freqs->back(), 32.0f);
  for (size_t i = 1; i < freqs->size(); ++i) EXPECT_GE((*freqs)[i], (*freqs)[i - 1]);
}

TEST(RopeFreqs, OddHeadDimRoundsUpAndOtherTypesHaveNone) {
  const HfConfig odd =
      Config("{" + std::string(kSizes) + std::string(kLlama3Rope) + R"(, "head_dim": 7})");
  EXPECT_EQ(RopeFreqs(odd, *GeometryOf(odd))->size(), 4u);
  const HfConfig plain = Config("{" + std::string(kSizes) + "}");
  EXPECT_TRUE(RopeFreqs(plain, *GeometryOf(plain))->empty());
}

TEST(RopeFreqs, RefusesNumbersThatDivideByZero) {
  for (const char* member : {R"("low_freq_factor": 0)", R"("high_freq_factor": -1)",
                             R"("factor": "x")", R"("original_max_position_embeddings": 1e300)"}) {
    SCOPED_TRACE(member);
    const HfConfig config = Config("{" + std::string(kSizes) +
                                   R"(, "rope_scaling": {"rope_type": "llama3", )" + member + "}}");
    EXPECT_THAT(Message(RopeFreqs(config, *GeometryOf(config)).status()),
                HasSubstr("config.json: rope_scaling: "));
  }
}

}  // namespace
}  // namespace quantized
