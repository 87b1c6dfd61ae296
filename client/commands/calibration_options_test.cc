#include "client/commands/calibration_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "client/commands/command_line.h"
#include "core/base/error.h"
#include "tests/support/paths.h"

namespace quantized {
namespace {

using ::testing::StartsWith;

Values Parse(std::vector<std::string> words) {
  words.insert(words.begin(), {"quantize", "m", "gptq", "-q", "4bit"});
  const auto line = ParseCommandLine(words, {});
  EXPECT_TRUE(line.ok()) << line.status();
  return line.ok() ? line->values : Values();
}

std::string MessageOf(const absl::Status& status) {
  EXPECT_EQ(ErrorOf(status), Error::kInvalidArgument);
  return std::string(status.message());
}

TEST(CalibrationOptionsTest, DefaultsAreTheDocumentedOnes) {
  const auto calibration = CalibrationSpecOf(Parse({}));
  ASSERT_TRUE(calibration.ok()) << calibration.status();
  EXPECT_EQ(calibration->data_path(), "");
  EXPECT_EQ(calibration->data_name(), "");
  EXPECT_EQ(calibration->samples(), 256u);
  EXPECT_EQ(calibration->sequence_length(), 512u);
  EXPECT_EQ(calibration->seed(), 0u);
  const auto packed = PackedOptionsOf(Parse({}));
  ASSERT_TRUE(packed.ok()) << packed.status();
  EXPECT_EQ(packed->group_size(), 128);
  EXPECT_FALSE(packed->awq_clip());
  EXPECT_FALSE(packed->asymmetric());
  EXPECT_EQ(packed->column_order(), "group");
  EXPECT_EQ(packed->damping(), 0.01);
  EXPECT_FALSE(calibration->all_tokens_to_experts());
}

TEST(CalibrationOptionsTest, TakesEachOption) {
  const testing::TempDir dir;
  const std::string data = dir.path() / "data.jsonl";
  std::ofstream(data) << "{}";
  const Values values = Parse({"--calibration-data", data, "--calibration-samples", "32",
                               "--sequence-length", "1024", "--seed", "18446744073709551615",
                               "--awq-clip", "--asymmetric", "--damping", "0.05", "--all-experts"});
  const auto calibration = CalibrationSpecOf(values);
  ASSERT_TRUE(calibration.ok()) << calibration.status();
  EXPECT_EQ(calibration->data_path(), data);
  EXPECT_EQ(calibration->data_name(), data);
  EXPECT_EQ(calibration->samples(), 32u);
  EXPECT_EQ(calibration->sequence_length(), 1024u);
  EXPECT_EQ(calibration->seed(), 18446744073709551615u);
  const auto packed = PackedOptionsOf(values);
  ASSERT_TRUE(packed.ok()) << packed.status();
  EXPECT_TRUE(packed->awq_clip());
  EXPECT_TRUE(packed->asymmetric());
  EXPECT_EQ(packed->damping(), 0.05);
  EXPECT_TRUE(calibration->all_tokens_to_experts());
}

TEST(CalibrationOptionsTest, TheDataIsNamedAsTypedAndFoundFromAnywhere) {
  const std::filesystem::path here = std::filesystem::current_path();
  const auto calibration = CalibrationSpecOf(Parse({"--calibration-data", "."}));
  ASSERT_TRUE(calibration.ok()) << calibration.status();
  EXPECT_EQ(calibration->data_name(), ".");
  EXPECT_TRUE(std::filesystem::path(calibration->data_path()).is_absolute());
  EXPECT_TRUE(std::filesystem::equivalent(calibration->data_path(), here));
}

TEST(CalibrationOptionsTest, AGroupSizeIsANumberARowOrAuto) {
  const auto size = [](const std::string& text) {
    const auto packed = PackedOptionsOf(Parse({"--group-size=" + text}));
    EXPECT_TRUE(packed.ok()) << packed.status();
    return packed.ok() ? packed->group_size() : -100;
  };
  EXPECT_EQ(size("32"), 32);
  EXPECT_EQ(size("1048576"), 1 << 20);
  EXPECT_EQ(size("-1"), -1);
  EXPECT_EQ(size("auto"), 0);
}

TEST(CalibrationOptionsTest, EachOrderOfColumnsHasItsName) {
  for (const std::string_view order : kColumnOrders) {
    const auto packed = PackedOptionsOf(Parse({"--act-order", std::string(order)}));
    ASSERT_TRUE(packed.ok()) << packed.status();
    EXPECT_EQ(packed->column_order(), order);
  }
  EXPECT_EQ(ParseCommandLine(std::vector<std::string>{"quantize", "m", "gptq", "-q", "4bit",
                                                      "--act-order", "true"},
                             {})
                .status()
                .message(),
            "option '--act-order': 'true' is not one of none, group, static, full");
}

TEST(CalibrationOptionsTest, NamesTheValueThatIsWrong) {
  const auto expect = [](const auto& parse, const std::string& option,
                         const std::vector<std::string>& bad) {
    for (const std::string& value : bad) {
      EXPECT_THAT(MessageOf(parse(Parse({option + "=" + value})).status()),
                  StartsWith("option '" + option + "': '" + value + "' is not a "));
    }
  };
  expect(CalibrationSpecOf, "--calibration-samples", {"1048577", "2147483647"});
  expect(CalibrationSpecOf, "--sequence-length", {"1048577"});
  expect(CalibrationSpecOf, "--seed", {"-1", "x", "1.5", "18446744073709551616", "7x"});
  expect(PackedOptionsOf, "--group-size",
         {"0", "-2", "x", "1.5", "32x", "AUTO", "1048577", "99999999999999999999"});
  expect(PackedOptionsOf, "--damping", {"0", "1", "-0.1", "x", "nan", "inf", "0.01x"});
  EXPECT_EQ(MessageOf(CalibrationSpecOf(Parse({"--calibration-data", "/there/is/none"})).status()),
            "option '--calibration-data': '/there/is/none' does not exist");
}

}  // namespace
}  // namespace quantized
