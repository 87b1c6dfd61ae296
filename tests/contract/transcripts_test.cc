// Runs every file in transcripts/ with the real programs. Each file is a user of its own, with a
// daemon of its own that the first command starts.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include "tests/contract/transcript.h"
#include "tests/support/paths.h"
#include "tests/support/sandbox.h"

namespace quantized::testing {
namespace {

using ::testing::HasSubstr;

std::vector<std::string> TranscriptNames() {
  std::vector<std::string> names;
  for (const auto& entry :
       std::filesystem::directory_iterator(SourceDir() / "tests/contract/transcripts")) {
    if (entry.path().extension() == ".txt") names.push_back(entry.path().stem());
  }
  std::sort(names.begin(), names.end());
  return names;
}

class Transcript : public ::testing::TestWithParam<std::string> {
 protected:
  Sandbox user_;
};

TEST_P(Transcript, IsWhatHappens) {
  std::ostringstream text;
  text << std::ifstream(SourceDir() / "tests/contract/transcripts" / (GetParam() + ".txt")).rdbuf();
  const auto steps = ParseTranscript(text.str());
  ASSERT_TRUE(steps.ok()) << steps.status();
  ASSERT_FALSE(steps->empty());
  for (const TranscriptStep& step : *steps) {
    const ProcessResult result = user_.RunInShell(step.command);
    if (step.need) {
      if (result.exit_code != 0) GTEST_SKIP() << "not here: " << step.command;
      continue;
    }
    if (const auto wrong = Mismatch(step, result, user_.work())) FAIL() << *wrong;
  }
}

INSTANTIATE_TEST_SUITE_P(Contract, Transcript, ::testing::ValuesIn(TranscriptNames()),
                         [](const auto& param) { return param.param; });

TEST(ParseTranscriptTest, ReadsCommandsAndExpectations) {
  const auto steps = ParseTranscript(
      "# a comment\n"
      "need: true\n"
      "\n"
      "$ one --flag\n"
      "? 3\n"
      "> out\n"
      ">\n"
      "! err\n"
      "$ two\n"
      "? signal 2\n");
  ASSERT_TRUE(steps.ok()) << steps.status();
  ASSERT_EQ(steps->size(), 3);
  EXPECT_TRUE((*steps)[0].need);
  EXPECT_EQ((*steps)[1].command, "one --flag");
  EXPECT_EQ((*steps)[1].line, 4);
  EXPECT_EQ((*steps)[1].exit_code, 3);
  EXPECT_THAT((*steps)[1].out, ::testing::ElementsAre("out", ""));
  EXPECT_THAT((*steps)[1].err, ::testing::ElementsAre("err"));
  EXPECT_EQ((*steps)[2].signal, 2);
}

TEST(ParseTranscriptTest, RefusesWhatItDoesNotUnderstand) {
  for (const char* text : {"? 0\n", "$ a\n? x\n", "$ a\nout\n", "need: x\n> y\n"}) {
    EXPECT_FALSE(ParseTranscript(text).ok()) << text;
  }
}

TEST(MismatchTest, LinesStandForThemselves) {
  EXPECT_FALSE(Mismatch({}, "", ""));
  EXPECT_FALSE(Mismatch({"a.b", "c"}, "a.b\nc\n", ""));
  EXPECT_TRUE(Mismatch({"a.b"}, "axb\n", ""));
  EXPECT_TRUE(Mismatch({"a"}, "a\nb\n", ""));
  EXPECT_TRUE(Mismatch({"a", "b"}, "a\n", ""));
  EXPECT_TRUE(Mismatch({}, "a\n", ""));
  EXPECT_TRUE(Mismatch({"a"}, "a", ""));
}

TEST(MismatchTest, PatternsStandForMore) {
  EXPECT_FALSE(Mismatch({"x {{[0-9]+}} (y) {{.*}}"}, "x 12 (y) z\n", ""));
  EXPECT_TRUE(Mismatch({"x {{[0-9]+}}"}, "x 12a\n", ""));
  EXPECT_FALSE(Mismatch({"{WORK}/m {{a|b}}"}, "/tmp/w+/m b\n", "/tmp/w+"));
  EXPECT_FALSE(Mismatch({"..."}, "", ""));
  EXPECT_FALSE(Mismatch({"a", "...", "c", "..."}, "a\nb\nb\nc\nd\n", ""));
  EXPECT_TRUE(Mismatch({"a", "...", "c"}, "a\nb\n", ""));
}

TEST(MismatchTest, NamesWhatIsWrong) {
  const TranscriptStep step{.line = 7, .command = "cmd", .exit_code = 2};
  EXPECT_FALSE(Mismatch(step, ProcessResult{.exit_code = 2}, ""));
  const auto wrong = Mismatch(step, ProcessResult{.exit_code = 3, .out = "noise\n"}, "");
  ASSERT_TRUE(wrong);
  EXPECT_THAT(*wrong, HasSubstr("line 7: $ cmd"));
  EXPECT_THAT(*wrong, HasSubstr("exit code 3, expected 2"));
  EXPECT_THAT(*wrong, HasSubstr("noise"));
  EXPECT_TRUE(Mismatch(step, ProcessResult{.exit_code = -1, .signal = 2}, ""));
}

}  // namespace
}  // namespace quantized::testing
