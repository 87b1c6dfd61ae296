#include "client/commands/quality_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "client/commands/command_line.h"
#include "core/base/error.h"

namespace quantized {
namespace {

absl::StatusOr<std::optional<v1::QualitySpec>> Parse(std::vector<std::string> words) {
  words.insert(words.begin(), {"quantize", "m", "gptq", "-q", "4bit"});
  const auto line = ParseCommandLine(words, {});
  EXPECT_TRUE(line.ok()) << line.status();
  return QualitySpecOf(line->values);
}

TEST(QualityOptionsTest, WithoutThemNothingIsMeasured) {
  const auto spec = Parse({"--report-samples", "3"});
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_FALSE(spec->has_value());
}

TEST(QualityOptionsTest, TakesEachOption) {
  const auto report = Parse({"--report"});
  ASSERT_TRUE(report.ok() && report->has_value());
  EXPECT_TRUE((*report)->report());
  EXPECT_FALSE((*report)->has_max_kld());
  EXPECT_EQ((*report)->samples(), 16u);
  const auto limit = Parse({"--max-kld", "0.05", "--report-samples", "4"});
  ASSERT_TRUE(limit.ok() && limit->has_value());
  EXPECT_FALSE((*limit)->report());
  EXPECT_EQ((*limit)->max_kld(), 0.05);
  EXPECT_EQ((*limit)->samples(), 4u);
  EXPECT_EQ((*Parse({"--max-kld", "0"}))->max_kld(), 0);
}

TEST(QualityOptionsTest, NamesTheValueThatIsWrong) {
  for (const char* bad : {"-1", "x", "nan", "inf", "0.1x", "1e999"}) {
    const auto spec = Parse({std::string("--max-kld=") + bad});
    EXPECT_EQ(ErrorOf(spec.status()), Error::kInvalidArgument);
    EXPECT_EQ(spec.status().message(),
              std::string("option '--max-kld': '") + bad + "' is not a number from 0 on");
  }
  const auto spec = Parse({"--report", "--report-samples", "1048577"});
  EXPECT_EQ(spec.status().message(),
            "option '--report-samples': '1048577' is not a whole number up to 1048576");
}

}  // namespace
}  // namespace quantized
