#include "core/packed/model_card.h"

#include <string>

#include "core/base/version.h"
#include "core/hf/front_matter.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace quantized {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(ModelCardTest, SaysWhatWasDone) {
  const CardFacts facts = {.title = "Tiny | 1B",
                           .base_model = "org/tiny-1b",
                           .options = {.group_size = 64, .modules_not_converted = {"mlp.gate"}},
                           .calibration = "256 windows of 512 tokens,\nseed 42",
                           .quality = {{"KL divergence", "0.0123"}},
                           .loaders = {{"vLLM", Verdict::kSlow, "because"}}};
  const std::string card = ModelCard(
      "---\nlicense: apache-2.0\nlanguage:\n- en\n- 'no'\ntags:\n- chat\n- gptq\n---\n", facts);
  EXPECT_EQ(card,
            "---\n"
            "base_model: \"org/tiny-1b\"\n"
            "base_model_relation: quantized\n"
            "license: \"apache-2.0\"\n"
            "language:\n- \"en\"\n- \"no\"\n"
            "quantized_by: llm-quantize\n"
            "tags:\n- \"chat\"\n- \"gptq\"\n- \"4-bit\"\n- \"llm-quantize\"\n"
            "---\n\n"
            "# Tiny \\| 1B, quantized\n\n"
            "Made by llm-quantize " +
                std::string(kVersion) +
                " from `org/tiny-1b`. What the original model's card says about use and limits "
                "holds here, too.\n\n"
                "## Recipe\n\n"
                "| | |\n|---|---|\n"
                "| Method | GPTQ |\n| Bits | 4 |\n| Group size | 64 |\n| Symmetric | yes |\n"
                "| Activation order | no |\n| Damping | 0.05 |\n| Format | gptq |\n"
                "| Left in 16 bits | lm_head, mlp.gate |\n\n"
                "## Calibration\n\n256 windows of 512 tokens, seed 42\n\n"
                "## Quality\n\n| Measure | Value |\n|---|---|\n| KL divergence | 0.0123 |\n\n"
                "## Loaders\n\n| Loader | | Why |\n|---|---|---|\n"
                "| vLLM | slow path | because |\n");
}

TEST(ModelCardTest, ASourceWithoutCardIsNoTrouble) {
  const std::string card =
      ModelCard("", {.title = "x", .options = {.method = PackedMethod::kAwq, .group_size = -1}});
  EXPECT_EQ(ParseFrontMatter(card), json::parse(R"({"quantized_by": "llm-quantize",
      "tags": ["awq", "4-bit", "llm-quantize"]})"));
  EXPECT_THAT(card, HasSubstr("| Method | AWQ (GEMM) |"));
  EXPECT_THAT(card, HasSubstr("| Group size | whole rows |"));
  EXPECT_THAT(card, HasSubstr("| Codes | GPTQ |"));
  EXPECT_THAT(card, HasSubstr("None: weights were rounded without data."));
  EXPECT_THAT(card, Not(HasSubstr("## Quality")));
  EXPECT_THAT(card, Not(HasSubstr("## Loaders")));
}

// How the codes were chosen it does not know, and what the source was it is no more.
TEST(ModelCardTest, AConversionSaysNothingOfTheSourcesMethod) {
  const auto tags_of = [](const std::string& card) { return ParseFrontMatter(card)["tags"]; };
  const std::string source =
      "---\ntags:\n- chat\n- AWQ\n- 8-bit\n- 4-bit\n- gguf\n- one-bit\n---\n";
  const std::string gptq = ModelCard(source, {.title = "x", .options = {.is_converted = true}});
  EXPECT_EQ(tags_of(gptq), json::array({"chat", "one-bit", "gptq", "4-bit", "llm-quantize"}));
  EXPECT_THAT(gptq, HasSubstr("| Activation order | no |"));
  EXPECT_THAT(gptq, Not(HasSubstr("Damping")));
  const std::string awq =
      ModelCard("---\ntags:\n- gptq\n---\n",
                {.title = "x", .options = {.method = PackedMethod::kAwq, .is_converted = true}});
  EXPECT_EQ(tags_of(awq), json::array({"awq", "4-bit", "llm-quantize"}));
  EXPECT_THAT(awq, HasSubstr("| Zero points | yes |"));
  EXPECT_THAT(awq, Not(HasSubstr("Codes")));
  EXPECT_THAT(awq, Not(HasSubstr("GPTQ")));
}

TEST(ModelCardTest, FrontMatterOfAnySourceStaysFrontMatter) {
  const std::string card = ModelCard(
      "---\nlicense: \"a\\\"b: c # d\\n---\\nx: y\"\nlicense_name: other\nbase_model:\n- a/b\n"
      "pipeline_tag: {a: b}\nname: gone\n---\n",
      {.title = "x", .options = {}});
  const json parsed = ParseFrontMatter(card);
  EXPECT_EQ(parsed["license"], "a\"b: c # d\n---\nx: y");
  EXPECT_EQ(parsed["license_name"], "other");
  EXPECT_EQ(parsed["base_model"], json::array({"a/b"}));
  EXPECT_FALSE(parsed.contains("base_model_relation"));
  EXPECT_FALSE(parsed.contains("pipeline_tag"));
  EXPECT_FALSE(parsed.contains("name"));
  EXPECT_FALSE(parsed.contains("x"));
}

}  // namespace
}  // namespace quantized
