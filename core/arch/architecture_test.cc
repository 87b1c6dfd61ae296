#include "core/arch/architecture.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <string>

#include "core/arch/geometry.h"
#include "core/arch/long_rope.h"
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
      // What is left out need not be there.
      EXPECT_TRUE(!rule.gguf.empty() || rule.optional) << rule.hf;
      EXPECT_EQ(rule.hf.find("{i}") == std::string_view::npos,
                rule.gguf.find("{i}") == std::string_view::npos);
      EXPECT_EQ(rule.gguf.find("{e}"), std::string_view::npos);
      EXPECT_EQ(IsStacked(rule), rule.gguf.ends_with("_exps")) << rule.gguf;
      if (IsStacked(rule)) {
        EXPECT_NE(rule.rows, Dim::kNone);
        EXPECT_EQ(rule.transform, Transform::kNone);
        EXPECT_FALSE(rule.optional);
      }
      EXPECT_NE(rule.cols, Dim::kNone);
      // What the reference shifts by one are the norms, and all of an architecture or none.
      const bool shifts = row == &kGemma3 || row == &kGemma2;
      EXPECT_EQ(rule.transform == Transform::kAddOne, shifts && rule.hf.ends_with("norm"));
    }
    const auto file_type_keys =
        std::ranges::count(row->keys, MetadataKey::From::kFileType, &MetadataKey::from);
    EXPECT_EQ(file_type_keys, row->has_shared_keys ? 0 : 1);
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

TEST(TensorNames, ExpertsOfALayerShareAName) {
  const auto match =
      MatchTensorName(kMixtral, 12, "model.layers.3.block_sparse_moe.experts.10.w2.weight");
  ASSERT_TRUE(match.ok()) << match.status();
  ASSERT_TRUE(match->has_value());
  EXPECT_EQ((*match)->gguf_name, "blk.3.ffn_down_exps.weight");
  EXPECT_EQ((*match)->layer, 3u);
  EXPECT_EQ((*match)->expert, 10u);
  EXPECT_EQ(CheckpointName(*(*match)->rule, 3, 10),
            "model.layers.3.block_sparse_moe.experts.10.w2.weight");
  EXPECT_EQ(GgufNameOf(kMixtral, "model.layers.3.block_sparse_moe.gate.weight"),
            "blk.3.ffn_gate_inp.weight");
  EXPECT_EQ(GgufNameOf(kQwen3Moe, "layers.0.mlp.experts.127.up_proj.weight"),
            "blk.0.ffn_up_exps.weight");
  for (const char* name :
       {"model.layers.0.mlp.experts.0.up_proj.bias", "model.layers.0.mlp.experts.up_proj.weight",
        "model.layers.0.mlp.experts..up_proj.weight",
        "model.layers.0.mlp.experts.-1.up_proj.weight",
        "model.layers.0.mlp.experts.1x.up_proj.weight",
        "model.layers.0.mlp.experts.99999999999.up_proj.weight",
        "model.layers.0.mlp.up_proj.weight"}) {
    EXPECT_EQ(GgufNameOf(kQwen3Moe, name), "error") << name;
  }
}

TEST(TensorNames, Gemma2HasNoOutputHead) {
  EXPECT_EQ(GgufNameOf(kGemma2, "lm_head.weight"), "dropped");
  EXPECT_EQ(GgufNameOf(kGemma2, "model.embed_tokens.weight"), "token_embd.weight");
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

TEST(Geometry, SizesOfFusedMatricesAndExperts) {
  const auto geometry = GeometryOf(
      Config("{" + std::string(kSizes) +
             R"(, "num_key_value_heads": 2, "num_experts": 7, "moe_intermediate_size": 24})"));
  ASSERT_TRUE(geometry.ok()) << geometry.status();
  EXPECT_EQ(geometry->Size(Dim::kQueryKeyValue), 64u + 2 * 32);
  EXPECT_EQ(geometry->Size(Dim::kGateAndUp), 192u);
  EXPECT_EQ(geometry->Size(Dim::kExperts), 7u);
  EXPECT_EQ(geometry->Size(Dim::kExpertFeedForward), 24u);
  const auto plain =
      GeometryOf(Config("{" + std::string(kSizes) + R"(, "num_local_experts": null})"));
  ASSERT_TRUE(plain.ok()) << plain.status();
  EXPECT_EQ(plain->Size(Dim::kExperts), 0u);
  EXPECT_EQ(plain->Size(Dim::kExpertFeedForward), 96u);
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
           Case{"num_experts", "70000", "num_local_experts: expected at most 65536, found 70000"},
           Case{"num_local_experts", "-1", "num_local_experts: expected a whole number from 0"},
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

TEST(MetadataKeys, Gemma2NeedsItsCapsAndWindow) {
  const std::string rest = R"(, "max_position_embeddings": 8, "num_key_value_heads": 2,
      "rms_norm_eps": 1e-6, "head_dim": 16, "attn_logit_softcapping": 50, "sliding_window": 8)";
  EXPECT_THAT(KeysRefusal(kGemma2, rest),
              HasSubstr("final_logit_softcapping: expected a number, found nothing"));
  EXPECT_THAT(KeysRefusal(kGemma2, rest + R"(, "final_logit_softcapping": null)"),
              HasSubstr("final_logit_softcapping: expected a number, found null"));
  EXPECT_EQ(Names(Keys(kGemma2, rest + R"(, "final_logit_softcapping": 30)")).front(),
            "gemma2.context_length");
}

constexpr std::string_view kPhiSizes = R"(, "max_position_embeddings": 64, "rms_norm_eps": 1e-5,
    "num_key_value_heads": 4, "rope_theta": 10000)";

TEST(MetadataKeys, Phi3WithoutAWindowHasOneOfZero) {
  const std::string rest = std::string(kPhiSizes) + R"(, "original_max_position_embeddings": 32)";
  EXPECT_EQ(*Keys(kPhi3, rest).Get<uint32_t>("phi3.attention.sliding_window"), 0u);
  EXPECT_EQ(*Keys(kPhi3, rest + R"(, "sliding_window": null)")
                 .Get<uint32_t>("phi3.attention.sliding_window"),
            0u);
  EXPECT_EQ(*Keys(kPhi3, rest + R"(, "partial_rotary_factor": 0.4)")
                 .Get<uint32_t>("phi3.rope.dimension_count"),
            6u);  // 25 of 64, split among 4 heads
  EXPECT_THAT(KeysRefusal(kPhi3, kPhiSizes),
              HasSubstr("original_max_position_embeddings: expected a number, found nothing"));
  for (const char* factor : {"0", "-1", "1.5", "\"x\"", "1e999"}) {
    SCOPED_TRACE(factor);
    const auto config = HfConfig::Parse("{" + std::string(kSizes) + rest +
                                        R"(, "partial_rotary_factor": )" + factor + "}");
    if (!config.ok()) continue;  // no number of JSON
    EXPECT_THAT(Message(RotaryDim(*config).status()), HasSubstr("partial_rotary_factor"));
  }
}

// With 3 rotated pairs: hidden size 64, 4 heads, 0.4 of each.
absl::StatusOr<std::optional<LongRope>> LongRopeFrom(std::string_view lengths,
                                                     std::string_view block) {
  return LongRopeOf(Config("{" + std::string(kSizes) + R"(, "partial_rotary_factor": 0.4, )" +
                           std::string(lengths) + R"(, "rope_scaling": )" + std::string(block) +
                           "}"));
}
constexpr std::string_view kLengths =
    R"("max_position_embeddings": 131072, "original_max_position_embeddings": 4096)";

// Formula: LongRoPE (arXiv 2402.13753), as Phi-3's model code has it.
TEST(LongRope, FactorsAndTheScoresFactor) {
  const auto rope = LongRopeFrom(
      kLengths, R"({"type": "longrope", "short_factor": [1, 1.1, 1.5], "long_factor": [1, 2, 4]})");
  ASSERT_TRUE(rope.ok()) << rope.status();
  ASSERT_TRUE(rope->has_value());
  EXPECT_THAT((*rope)->short_factors, ElementsAre(1.0f, 1.1f, 1.5f));
  EXPECT_THAT((*rope)->long_factors, ElementsAre(1.0f, 2.0f, 4.0f));
  // 32 times 4096 = 2^12: log(2^5) / log(2^12) = 5/12.
  EXPECT_FLOAT_EQ((*rope)->attention_factor, std::sqrt(17.0f / 12));
  // No longer than in training.
  const auto same =
      LongRopeFrom(R"("max_position_embeddings": 4096, "original_max_position_embeddings": 4096)",
                   R"({"type": "longrope", "short_factor": [1, 1, 1], "long_factor": [1, 2, 4]})");
  ASSERT_TRUE(same.ok()) << same.status();
  EXPECT_EQ((*same)->attention_factor, 1.0f);
}

TEST(LongRope, NothingWithoutLongFactors) {
  for (const char* block :
       {"null", "{}", R"({"type": "longrope"})", R"({"type": "longrope", "long_factor": []})",
        R"({"type": "linear", "factor": 2})"}) {
    const auto rope = LongRopeFrom(kLengths, block);
    ASSERT_TRUE(rope.ok()) << rope.status();
    EXPECT_FALSE(rope->has_value()) << block;
  }
}

TEST(LongRope, RefusesWhatDoesNotFit) {
  struct Case {
    std::string_view lengths, block, message;
  };
  for (const Case& c : {
           Case{kLengths,
                R"({"type": "linear", "short_factor": [1, 1, 1], "long_factor": [1, 2, 3]})",
                "rope_scaling: type: expected longrope, su or yarn with long_factor, found "
                "\"linear\""},
           Case{kLengths, R"({"short_factor": [1, 1, 1], "long_factor": [1, 2, 3]})",
                "with long_factor, found nothing"},
           Case{kLengths, R"({"type": "su", "long_factor": [1, 2, 3]})",
                "rope_scaling: short_factor: expected a list of 3 numbers above 0, found nothing"},
           Case{kLengths, R"({"type": "su", "short_factor": [1, 1], "long_factor": [1, 2, 3]})",
                "short_factor: expected a list of 3 numbers above 0, found 2"},
           Case{kLengths, R"({"type": "su", "short_factor": [1, 1, 1], "long_factor": [1, 0, 3]})",
                "long_factor: expected a list of 3 numbers above 0, found 0"},
           Case{kLengths, R"({"type": "su", "short_factor": [1, 1, 1], "long_factor": [1, "", 3]})",
                "long_factor: expected a number"},
           Case{kLengths, R"({"type": "su", "short_factor": [1, 1, 1], "long_factor": 7})",
                "long_factor: expected a list of 3 numbers above 0, found 7"},
           Case{R"("max_position_embeddings": 64)",
                R"({"type": "su", "short_factor": [1, 1, 1], "long_factor": [1, 2, 3]})",
                "original_max_position_embeddings: expected a whole number, found nothing"},
           Case{R"("max_position_embeddings": 64, "original_max_position_embeddings": 1)",
                R"({"type": "su", "short_factor": [1, 1, 1], "long_factor": [1, 2, 3]})",
                "original_max_position_embeddings: expected a whole number above 1, found 1"},
           Case{R"("original_max_position_embeddings": 64)",
                R"({"type": "su", "short_factor": [1, 1, 1], "long_factor": [1, 2, 3]})",
                "max_position_embeddings: expected a number above 0, found nothing"},
       }) {
    SCOPED_TRACE(c.block);
    EXPECT_THAT(Message(LongRopeFrom(c.lengths, c.block).status()),
                HasSubstr(std::string(c.message)));
  }
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
