#include "core/hf/config.h"

#include "core/base/error.h"
#include "core/base/str_cat.h"
#include "core/hf/config_classes.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace quantized {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

json Fields(std::string_view text) {
  const auto config = HfConfig::Parse(text);
  EXPECT_TRUE(config.ok()) << config.status();
  return config.ok() ? config->fields() : json();
}
json Rope(std::string_view text) {
  const auto config = HfConfig::Parse(text);
  EXPECT_TRUE(config.ok()) << config.status();
  return config.ok() ? config->rope() : json();
}
std::string Refusal(std::string_view text) {
  const auto config = HfConfig::Parse(text);
  if (config.ok()) return "accepted";
  EXPECT_EQ(ErrorOf(config.status()), Error::kValidationFailed);
  return std::string(config.status().message());
}

TEST(Config, LlamaClassFillsInWhatIsMissingOrNull) {
  const json fields = Fields(R"({"model_type": "llama", "hidden_size": 2048,
      "num_attention_heads": 32, "head_dim": null, "num_key_value_heads": null})");
  EXPECT_EQ(fields["head_dim"], 64);
  EXPECT_EQ(fields["num_key_value_heads"], 32);
  EXPECT_EQ(fields["rope_theta"], 10000);
  EXPECT_EQ(fields["max_position_embeddings"], 2048);
  EXPECT_EQ(fields["rms_norm_eps"], 1e-6);
  EXPECT_EQ(fields["vocab_size"], 32000);
}

TEST(Config, OnlyAMissingFieldHasAConstantDefault) {
  EXPECT_TRUE(Fields(R"({"model_type": "llama", "rope_theta": null})")["rope_theta"].is_null());
  EXPECT_TRUE(Fields(R"({"model_type": "qwen3", "head_dim": null})")["head_dim"].is_null());
  EXPECT_EQ(Fields(R"({"model_type": "qwen3"})")["head_dim"], 128);
}

TEST(Config, MistralClassKnowsNoHeadDim) {
  const json fields = Fields(R"({"model_type": "mistral", "num_attention_heads": 32})");
  EXPECT_FALSE(fields.contains("head_dim"));
  EXPECT_EQ(fields["num_key_value_heads"], 8);
  EXPECT_EQ(Fields(R"({"model_type": "mistral", "num_attention_heads": 16,
                       "num_key_value_heads": null})")["num_key_value_heads"],
            16);
}

TEST(Config, UnknownClassLeavesTheFileAsItIs) {
  for (const char* text :
       {R"({"model_type": "gpt2", "hidden_size": 8})", R"({"hidden_size": 8})"}) {
    EXPECT_EQ(Fields(text), json::parse(text));
  }
}

TEST(Config, TextPartIsMergedOverTheRoot) {
  const json fields = Fields(R"({"model_type": "gemma3", "architectures": ["A"], "hidden_size": 1,
      "text_config": {"model_type": "gemma3_text", "hidden_size": 640}, "vision_config": {}})");
  EXPECT_EQ(fields["hidden_size"], 640);
  EXPECT_EQ(fields["head_dim"], 256);
  EXPECT_EQ(fields["vocab_size"], 262208);
  EXPECT_EQ(fields["model_type"], "gemma3_text");
}

TEST(Config, OtherNamesOfTheTextPart) {
  for (const char* name : {"llm_config", "lm_config", "language_config", "lfm"}) {
    EXPECT_EQ(Fields(std::string("{\"") + name + "\": {\"hidden_size\": 7}}")["hidden_size"], 7);
  }
  EXPECT_EQ(Fields(R"({"thinker_config": {"text_config": {"hidden_size": 7}}})")["hidden_size"], 7);
}

TEST(Config, ArchitectureIsTheFirstAndTheTextPartsOwnWins) {
  const auto name = [](std::string_view text) { return HfConfig::Parse(text)->architecture(); };
  EXPECT_EQ(name(R"({"architectures": ["A", "B"]})"), "A");
  EXPECT_EQ(name(R"({"architectures": ["A"], "text_config": {"architectures": ["T"]}})"), "T");
  EXPECT_EQ(name(R"({"architectures": ["A"], "text_config": {"architectures": null}})"), "A");
  EXPECT_EQ(name(R"({"architectures": []})"), "");
  EXPECT_EQ(name("{}"), "");
}

TEST(Config, RopeBlockIsFilledFromTheRoot) {
  EXPECT_EQ(Rope(R"({"rope_theta": 5e5, "rope_scaling": {"type": "linear", "factor": 2},
                     "partial_rotary_factor": 0.5, "original_max_position_embeddings": 4096})"),
            json::parse(R"({"type": "linear", "rope_type": "linear", "factor": 2, "rope_theta": 5e5,
                            "partial_rotary_factor": 0.5,
                            "original_max_position_embeddings": 4096})"));
  EXPECT_EQ(Rope(R"({"rope_theta": 1000000, "rope_local_base_freq": 10000})"),
            json::parse(R"({"rope_theta": 1000000,
                            "sliding_attention": {"rope_theta": 10000}})"));
}

TEST(Config, RopeParametersHideRopeScalingAndRootTheta) {
  EXPECT_EQ(Rope(R"({"rope_theta": 1, "rope_scaling": {"factor": 2},
                     "rope_parameters": {"rope_theta": 3, "rope_type": "default"}})"),
            json::parse(R"({"rope_theta": 3, "rope_type": "default"})"));
  EXPECT_EQ(Rope(R"({"rope_scaling": {"factor": 2}, "rope_parameters": null})"), json::object());
  // Blocks per kind of attention are left as they are.
  EXPECT_EQ(Rope(R"({"rope_theta": 1, "rope_parameters": {"full_attention": {"rope_theta": 3}}})"),
            json::parse(R"({"full_attention": {"rope_theta": 3}})"));
}

TEST(Config, SomeClassesTakeTheRopeTypeFromType) {
  const std::string scaling =
      R"("rope_scaling": {"type": "linear", "rope_type": "yarn", "factor": 2}})";
  EXPECT_EQ(Rope(R"({"model_type": "llama", )" + scaling)["rope_type"], "linear");
  EXPECT_EQ(Rope(R"({"model_type": "mistral", )" + scaling)["rope_type"], "yarn");
}

TEST(Config, ClassThatRefusesTheRopeBlockLeavesTheFileAsItIs) {
  const std::string partial =
      R"("hidden_size": 8, "rope_scaling": {"rope_type": "llama3", "factor": 8}})";
  EXPECT_FALSE(Fields(R"({"model_type": "llama", )" + partial).contains("rope_theta"));
  EXPECT_TRUE(Fields(R"({"model_type": "mistral", )" + partial).contains("rope_theta"));
  EXPECT_FALSE(Fields(R"({"model_type": "gemma3", "text_config": {)" + partial + "}")
                   .contains("rope_theta"));
  EXPECT_FALSE(Fields(R"({"model_type": "gemma3_text", "rope_scaling": {"type": "linear",
                          "factor": 8}})")
                   .contains("rope_theta"));
  EXPECT_TRUE(Fields(R"({"model_type": "llama", "rope_scaling": {"type": "linear",
                         "factor": 8}})")
                  .contains("rope_theta"));
}

TEST(Config, Phi3ClassKnowsOneRopeBlockByThreeNames) {
  const auto rope = [](std::string_view scaling) {
    return Rope(R"({"model_type": "phi3", "hidden_size": 32, "num_attention_heads": 4,
                    "partial_rotary_factor": 0.75, "rope_scaling": )" +
                std::string(scaling) + "}");
  };
  constexpr std::string_view kFactors = R"("short_factor": [1, 1, 1], "long_factor": [1, 2, 3.5]})";
  for (const char* name : {"su", "yarn", "longrope"}) {
    const json block = rope(StrCat(R"({"type": ")", name, "\", ", kFactors));
    EXPECT_EQ(block["rope_type"], "longrope") << name;
    EXPECT_EQ(block["original_max_position_embeddings"], 4096) << name;
  }
  // What the class refuses stands as in the file.
  for (const std::string& refused :
       {StrCat(R"({"rope_type": "longrope", )", kFactors),
        StrCat(R"({"type": "linear", )", kFactors),
        StrCat(R"({"type": "su", "factor": 2, )", kFactors),
        std::string(R"({"type": "su", "short_factor": [1, 1, 1], "long_factor": [1, 2]})"),
        std::string(R"({"type": "su", "short_factor": [1, 1, 1], "long_factor": [1, 2, "3"]})"),
        std::string(R"({"type": "su", "short_factor": [1, 1, 1], "long_factor": 3})")}) {
    EXPECT_FALSE(rope(refused).contains("original_max_position_embeddings")) << refused;
    EXPECT_EQ(rope(refused).value("type", json()), json::parse(refused).value("type", json()));
  }
}

TEST(Config, ClassesOfModelsWithExperts) {
  const json mixtral = Fields(R"({"model_type": "mixtral", "num_attention_heads": 16,
                                  "num_key_value_heads": null})");
  EXPECT_EQ(mixtral["num_local_experts"], 8);
  EXPECT_EQ(mixtral["num_key_value_heads"], 16);
  const json qwen = Fields(R"({"model_type": "qwen3_moe", "num_key_value_heads": null})");
  EXPECT_EQ(qwen["num_experts"], 128);
  EXPECT_EQ(qwen["moe_intermediate_size"], 768);
  EXPECT_TRUE(qwen["num_key_value_heads"].is_null());
  EXPECT_FALSE(qwen.contains("head_dim"));
}

TEST(Config, FirstNameThatIsThereCountsEvenAsNull) {
  const auto config = HfConfig::Parse(R"({"a": null, "b": 7, "c": -1})");
  constexpr std::string_view kNames[] = {"x", "a", "b"}, kNone[] = {"x"}, kBad[] = {"c"};
  EXPECT_EQ(config->Uint32(kNames)->has_value(), false);
  EXPECT_EQ(config->Uint32(std::span(kNames).last(1))->value(), 7u);
  EXPECT_EQ(config->Uint32(kNone)->has_value(), false);
  EXPECT_THAT(std::string(config->Uint32(kBad).status().message()),
              HasSubstr("config.json: c: expected a whole number"));
}

TEST(Config, RefusesWrongShapesOfMembers) {
  EXPECT_THAT(Refusal("[]"), HasSubstr("expected a JSON object"));
  EXPECT_THAT(Refusal(R"({"model_type": 7})"), HasSubstr("model_type: expected a name, found 7"));
  EXPECT_THAT(Refusal(R"({"architectures": "A"})"), HasSubstr("architectures: expected a list"));
  EXPECT_THAT(Refusal(R"({"architectures": [1]})"), HasSubstr("architectures: expected a list"));
  EXPECT_THAT(Refusal(R"({"text_config": 1})"), HasSubstr("text_config: expected an object"));
  EXPECT_THAT(Refusal(R"({"model_type": "gemma3", "text_config": []})"),
              HasSubstr("text_config: expected an object"));
  EXPECT_THAT(Refusal(R"({"rope_scaling": [1]})"), HasSubstr("rope_scaling: expected an object"));
  EXPECT_THAT(Refusal(R"({"rope_parameters": {"full_attention": 1}})"),
              HasSubstr("full_attention: expected an object"));
}

TEST(Config, HostileNumbersGiveNoDefaultThatIsMadeOfThem) {
  for (const char* heads : {"0", "-1", "\"x\"", "1e308", "[]"}) {
    const json fields = Fields(std::string(R"({"model_type": "llama", "hidden_size": 1e300,
                                               "num_attention_heads": )") +
                               heads + "}");
    EXPECT_TRUE(fields["head_dim"].is_null() || fields["head_dim"] == 0) << fields["head_dim"];
  }
}

TEST(ConfigClasses, DefaultsReferToFieldsThatHaveOne) {
  for (const ConfigClass& row : AllConfigClasses()) {
    SCOPED_TRACE(row.model_type);
    EXPECT_EQ(FindConfigClass(row.model_type), &row);
    EXPECT_TRUE(row.text_class.empty() || FindConfigClass(row.text_class) != nullptr);
    for (const ConfigDefault& rule : row.defaults) {
      EXPECT_EQ(rule.from == ConfigDefault::From::kValue, rule.field.empty()) << rule.name;
      EXPECT_EQ(rule.from == ConfigDefault::From::kQuotient, !rule.divisor.empty()) << rule.name;
    }
  }
}

}  // namespace
}  // namespace quantized
