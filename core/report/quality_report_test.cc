#include "core/report/quality_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <string>

#include "core/report/test_report.h"

namespace quantized {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::SampleReport;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

TEST(QualityReportTest, JsonHasTheFigures) {
  const QualityReport report = SampleReport(2);
  const json parsed = json::parse(ToJson(report).dump());
  EXPECT_EQ(parsed["report_version"], 1);
  EXPECT_EQ(parsed["tool_version"], "0.1.0");
  EXPECT_EQ(parsed["model"], "Tiny-1B");
  EXPECT_EQ(parsed["architecture"], "LlamaForCausalLM");
  EXPECT_EQ(parsed["format"], "gguf");
  EXPECT_EQ(parsed["level"], "Q4_K_M");
  EXPECT_EQ(parsed["bits_per_weight"], 4.875);
  EXPECT_EQ(parsed["size_bytes"], 1'250'000'000);
  EXPECT_EQ(parsed["calibration"], "built-in text");
  EXPECT_EQ(parsed["settings"], json({{"Group size", "128"}}));
  EXPECT_EQ(
      parsed["evaluation"],
      json({{"text", "held-out text"}, {"windows", 2}, {"window_length", 512}, {"tokens", 1022}}));
  EXPECT_EQ(parsed["perplexity"], json({{"source", 8.0},
                                        {"quantized", 8.5},
                                        {"ratio", 1.0625},
                                        {"ratio_standard_error", 0.0078125}}));
  json divergence = parsed["kl_divergence"];
  const json histogram = divergence["histogram"];
  divergence.erase("histogram");
  EXPECT_EQ(divergence, json({{"mean", 0.03125},
                              {"standard_error", 0.00048828125},
                              {"median", 0.015625},
                              {"p90", 0.0625},
                              {"p99", 0.25},
                              {"p99_9", 0.5},
                              {"maximum", 1.5}}));
  EXPECT_EQ(histogram["edges"].size(), histogram["counts"].size() + 1);
  EXPECT_EQ(histogram["edges"][5], LogHistogram::Edge(5));
  EXPECT_EQ(histogram["counts"].get<std::vector<uint64_t>>(),
            std::vector<uint64_t>(report.comparison.kl_histogram.bins.begin(),
                                  report.comparison.kl_histogram.bins.end()));
  EXPECT_EQ(histogram["below"], report.comparison.kl_histogram.below);
  EXPECT_EQ(parsed["top1_agreement"], 0.9375);
  EXPECT_EQ(parsed["windows"][1], json({{"perplexity_ratio", 1.03125}, {"kl_divergence", 0.0625}}));
  ASSERT_EQ(parsed["modules"].size(), 15u);
  EXPECT_EQ(parsed["modules"][0], json({{"module", "model.embed_tokens"},
                                        {"layer", nullptr},
                                        {"kind", "token_embd"},
                                        {"type", "Q6_K"},
                                        {"rows", 32000},
                                        {"cols", 2048},
                                        {"weight_error", 0.0004},
                                        {"output_error", nullptr}}));
  EXPECT_EQ(parsed["modules"][8]["layer"], 1);
}

TEST(QualityReportTest, JsonKeepsItsOrder) {
  std::vector<std::string> keys;
  const ordered_json ordered = ToJson(SampleReport(1));
  for (const auto& [key, value] : ordered.items()) keys.push_back(key);
  EXPECT_THAT(keys, ElementsAre("report_version", "tool_version", "model", "architecture", "format",
                                "level", "bits_per_weight", "size_bytes", "calibration", "settings",
                                "evaluation", "perplexity", "kl_divergence", "top1_agreement",
                                "windows", "modules"));
}

TEST(QualityReportTest, JsonOfWhatJsonCannotHold) {
  QualityReport report = SampleReport(1);
  report.model = "a\xff\x01\"b";
  report.calibration = "";
  report.comparison.perplexity = kInfinity;
  report.comparison.kl_percentiles.maximum = NAN;
  report.modules[0].weight_error = NAN;
  report.modules[1].output_error = -kInfinity;
  const std::string text = ToJson(report).dump();
  const json parsed = json::parse(text);
  EXPECT_EQ(parsed["model"], "a\xEF\xBF\xBD\x01\"b");
  EXPECT_TRUE(parsed["calibration"].is_null());
  EXPECT_TRUE(parsed["perplexity"]["quantized"].is_null());
  EXPECT_TRUE(parsed["perplexity"]["ratio"].is_null());
  EXPECT_TRUE(parsed["kl_divergence"]["maximum"].is_null());
  EXPECT_TRUE(parsed["modules"][0]["weight_error"].is_null());
  EXPECT_TRUE(parsed["modules"][1]["output_error"].is_null());
}

TEST(QualityReportTest, AReportOfNothingIsAReport) {
  const json parsed = json::parse(ToJson({}).dump());
  EXPECT_TRUE(parsed["modules"].is_array());
  EXPECT_TRUE(parsed["modules"].empty());
  EXPECT_TRUE(parsed["windows"].empty());
  EXPECT_TRUE(parsed["perplexity"]["ratio"].is_null()) << "0 / 0";
  EXPECT_THAT(ToTable({}), Not(HasSubstr("Largest")));
}

TEST(QualityReportTest, TableForATerminal) {
  EXPECT_EQ(ToTable(SampleReport(3)),
            R"(Quality of Tiny-1B, gguf Q4_K_M (4.88 bits per weight, 1.2 GB)
  Text            held-out text: 2 windows of 512 tokens
  Perplexity      8.0000 → 8.5000, ratio 1.0625 ± 0.0078
  KL divergence   0.03125 ± 0.00049 nats per token
    median        0.0156
    90 %          0.0625
    99 %          0.250
    99.9 %        0.500
    maximum       1.50
  Same top token  93.75 %
  Largest relative errors of weights
    0.00624       model.layers.1.self_attn.k_proj (Q4_K)
    0.00562       model.layers.1.self_attn.o_proj (Q4_K)
    0.00524       model.layers.1.mlp.gate_proj (Q4_K)
)");
}

TEST(QualityReportTest, TableShowsNoControlCharacters) {
  QualityReport report = SampleReport(1);
  report.model = "a\x1b[2J\nb";
  report.modules[2].module = "\x1b]0;c\x07";
  report.modules[2].weight_error = 1;
  const std::string table = ToTable(report);
  EXPECT_THAT(table, HasSubstr("Quality of a\\x1b[2J\\nb, gguf"));
  EXPECT_THAT(table, HasSubstr("    1.00          \\x1b]0;c\\x07 (Q4_K)"));
  EXPECT_EQ(table.find('\x1b'), std::string::npos);
}

TEST(QualityReportTest, TheWorstComeFirst) {
  QualityReport report;
  const auto add = [&](std::optional<double> weight, std::optional<double> output) {
    ModuleError error;
    error.weight_error = weight;
    error.output_error = output;
    report.modules.push_back(error);
  };
  add(0.25, 9);
  add({}, {});
  add(NAN, 0.5);
  add({}, 0.25);
  add(0.75, {});
  EXPECT_THAT(WorstModules(report), ElementsAre(4, 2, 0, 3));
}

TEST(QualityReportTest, TableNamesOutputsWhereWeightsAreUnknown) {
  QualityReport report = SampleReport(1);
  for (ModuleError& module : report.modules) {
    module.output_error = std::exchange(module.weight_error, std::nullopt);
  }
  EXPECT_THAT(ToTable(report), HasSubstr("Largest relative errors of outputs"));
}

}  // namespace
}  // namespace quantized
