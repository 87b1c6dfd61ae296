#include "core/report/html_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <regex>
#include <string>

#include "core/report/test_report.h"

namespace quantized {
namespace {

using testing::FaultOf;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::SampleReport;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

size_t Count(const std::string& text, std::string_view part) {
  size_t count = 0;
  for (size_t at = 0; (at = text.find(part, at)) != std::string::npos; at += part.size()) ++count;
  return count;
}

// What a person sees: no script, no style.
std::string Body(const std::string& page) {
  return page.substr(page.find("<body>"), page.find("<script>") - page.find("<body>"));
}

TEST(HtmlReportTest, PagesAreWellFormed) {
  for (const uint32_t layers : {0, 1, 30, 80}) {
    SCOPED_TRACE(layers);
    EXPECT_EQ(FaultOf(ToHtml(SampleReport(layers))), "");
  }
  EXPECT_EQ(FaultOf(ToHtml({})), "");
}

TEST(HtmlReportTest, TheCheckerSeesFaults) {
  EXPECT_EQ(FaultOf("<!DOCTYPE html>\n<a b=\"c\"><d/>e&amp;</a>"), "");
  for (const char* page : {"<a>", "</a>", "<a></b>", "<a b=c></a>", "<a b=\"1\" b=\"2\"></a>",
                           "a & b", "<a>&nbsp;</a>", "a < b", "<a>\x01</a>", "<a src=\"b\"></a>",
                           "<a id=\"b\"></a><a id=\"b\"></a>", "<p>http://example.org</p>"}) {
    EXPECT_NE(FaultOf(page), "") << page;
  }
}

TEST(HtmlReportTest, ShowsFiguresPlotsAndModules) {
  const std::string page = ToHtml(SampleReport(30));
  for (const char* part :
       {"<title>Quality of Tiny-1B, gguf Q4_K_M</title>", "<h1>Tiny-1B</h1>",
        "<dd class=\"value\">0.03125</dd><dd class=\"note\">± 0.00049 nats per token</dd>",
        "93.8 %", "<dd class=\"value\">1.0625</dd>", "8.000 → 8.500", "1.2 GB",
        "4.88 bits per weight", ">99.9 % 0.500</text>", "<h2>Weights by layer</h2>",
        "<th scope=\"row\">Group size</th><td class=\"name\">128</td>",
        "2 of 512 tokens, 1022 predictions", "1.0312 to 1.0625", "llm-quantize 0.1.0",
        "prefers-color-scheme: dark"}) {
    EXPECT_THAT(page, HasSubstr(part));
  }
  EXPECT_THAT(page, Not(HasSubstr("Outputs by layer")));
  EXPECT_EQ(Count(page, "<svg "), 2u);
  EXPECT_EQ(Count(page, "<td class=\"name\">model.<wbr/>"), 30u * 7 + 1);
  EXPECT_LT(page.find("layers.<wbr/>12.<wbr/>self_attn.<wbr/>k_proj<"),
            page.find("<wbr/>embed_tokens<"))
      << "the worst first";
}

TEST(HtmlReportTest, ShowsErrorsOfOutputs) {
  QualityReport report = SampleReport(2);
  for (ModuleError& module : report.modules) {
    if (module.layer) module.output_error = 0.125;
  }
  const std::string both = ToHtml(report);
  EXPECT_EQ(FaultOf(both), "");
  EXPECT_EQ(Count(both, "<svg "), 3u);
  EXPECT_THAT(both, HasSubstr("<h2>Outputs by layer</h2>"));
  for (ModuleError& module : report.modules) module.weight_error.reset();
  const std::string outputs = ToHtml(report);
  EXPECT_EQ(FaultOf(outputs), "");
  EXPECT_THAT(outputs, Not(HasSubstr("<h2>Weights by layer</h2>")));
  EXPECT_THAT(outputs, HasSubstr("aria-sort=\"descending\"><button type=\"button\">Output error"));
}

TEST(HtmlReportTest, WithoutModulesItSaysSo) {
  QualityReport report = SampleReport(0);
  report.modules.clear();
  const std::string page = ToHtml(report);
  EXPECT_EQ(FaultOf(page), "");
  EXPECT_THAT(page, HasSubstr("No module was measured."));
  EXPECT_EQ(Count(page, "<svg "), 1u);
}

TEST(HtmlReportTest, OfVeryManyModulesTheWorstAreListed) {
  QualityReport report;
  for (uint32_t i = 0; i < 1500; ++i) {
    report.modules.push_back(
        {"expert" + std::to_string(i), i % 10, "ffn_up_exps", "Q4_K", 8, 8, 1e-4 * (i + 1), {}});
  }
  const std::string page = ToHtml(report);
  EXPECT_EQ(FaultOf(page), "");
  EXPECT_THAT(page, HasSubstr("The 1000 worst of 1500"));
  EXPECT_THAT(page, HasSubstr(">expert500<"));
  EXPECT_THAT(page, Not(HasSubstr(">expert499<")));
  // Layer 0: the mean of 1e-4 * (1, 11, … 1491).
  EXPECT_THAT(page, HasSubstr("<title>ffn_up_exps, layer 0: 0.0746</title>"));
  EXPECT_THAT(page, HasSubstr("(logarithmic; of experts their mean)"));
}

TEST(HtmlReportTest, HostileNamesAreText) {
  QualityReport report = SampleReport(1);
  const std::string hostile = "\"/><script>alert(1)</script><!--&\xff'" + std::string(1, '\0');
  report.model = report.architecture = report.format = report.level = report.tool_version =
      report.calibration = report.text = hostile;
  report.settings = {{hostile, hostile}};
  for (ModuleError& module : report.modules) module.module = module.kind = module.type = hostile;
  const std::string page = ToHtml(report);
  EXPECT_EQ(FaultOf(page), "");
  EXPECT_EQ(Count(page, "<script"), 1u) << "ours";
  EXPECT_EQ(page.find('\0'), std::string::npos);
  EXPECT_THAT(page, HasSubstr("&#34;/&gt;&lt;script&gt;alert(1)&lt;/script&gt;&lt;!--&amp;"));
}

TEST(HtmlReportTest, NumbersThatAreNoneDoNotShow) {
  QualityReport report = SampleReport(2);
  ModelComparison& comparison = report.comparison;
  comparison.source_perplexity = 0;
  comparison.perplexity = kInfinity;
  comparison.kl_divergence = comparison.kl_standard_error = comparison.top1_agreement = NAN;
  comparison.kl_percentiles = {NAN, kInfinity, -kInfinity, NAN, kInfinity};
  comparison.windows[0].perplexity_ratio = NAN;
  report.bits_per_weight = kInfinity;
  report.modules[1].weight_error = NAN;
  report.modules[2].weight_error = kInfinity;
  report.modules[3].output_error = NAN;
  const std::string page = ToHtml(report);
  EXPECT_EQ(FaultOf(page), "");
  EXPECT_FALSE(
      std::regex_search(Body(page), std::regex("[^a-zA-Z](nan|inf)[^a-zA-Z]", std::regex::icase)));
}

}  // namespace
}  // namespace quantized
