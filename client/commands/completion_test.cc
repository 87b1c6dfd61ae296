#include "client/commands/completion.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>
#include <vector>

#include "client/commands/command_table.h"

namespace quantized {
namespace {

using ::testing::ElementsAre;

std::vector<std::string> SomeLevels(std::string_view format) {
  if (format == "gguf") return {"Q4_0", "Q4_K_M", "Q8_0"};
  return format == "awq" ? std::vector<std::string>{"4bit"} : std::vector<std::string>();
}

// What is offered, without the helps. A '|' at the end stands for the cursor behind a space.
std::vector<std::string> Offered(const std::string& line) {
  std::istringstream in(line);
  std::vector<std::string> words{std::istream_iterator<std::string>(in), {}};
  if (!words.empty() && words.back() == "|") words.back() = "";
  std::istringstream lines(CompletionLines(words, SomeLevels));
  std::vector<std::string> offered;
  for (std::string one; std::getline(lines, one);) offered.push_back(one.substr(0, one.find('\t')));
  return offered;
}

TEST(CompletionTest, OffersCommandsAndTheirWords) {
  EXPECT_EQ(Offered("|"), FirstWords());
  EXPECT_EQ(Offered(""), FirstWords());
  EXPECT_THAT(Offered("qu"), ElementsAre("quantize"));
  EXPECT_THAT(Offered("--format json --host unix:/s conv"), ElementsAre("convert"));
  EXPECT_EQ(Offered("jobs |"), SecondWords("jobs"));
  EXPECT_THAT(Offered("jobs --format json at"), ElementsAre("attach"));
  EXPECT_THAT(Offered("jobs frobnicate |"), ElementsAre());
  EXPECT_THAT(Offered("quantise |"), ElementsAre());
}

TEST(CompletionTest, OffersEveryOptionOfEveryCommand) {
  for (const Command* command : AllCommands()) {
    std::vector<std::string> names;
    for (const OptionRow& row : command->options) names.emplace_back(row.name);
    for (const OptionRow& row : GlobalOptions()) names.emplace_back(row.name);
    EXPECT_EQ(Offered(std::string(command->name) + " -"), names) << command->name;
  }
  EXPECT_THAT(Offered("--ver"), ElementsAre("--version", "--verbosity"));
  EXPECT_THAT(Offered("quantize m gguf --quan"), ElementsAre("--quant-level"));
  EXPECT_THAT(Offered("convert --ov"), ElementsAre("--overwrite"));
}

TEST(CompletionTest, OffersTheValuesOfChoices) {
  EXPECT_THAT(Offered("--format |"), ElementsAre("human", "json"));
  EXPECT_THAT(Offered("info m --format j"), ElementsAre("json"));
  EXPECT_THAT(Offered("--format="), ElementsAre("--format=human", "--format=json"));
  EXPECT_THAT(Offered("--format=j"), ElementsAre("--format=json"));
  EXPECT_THAT(Offered("jobs list --state C"), ElementsAre("CANCELLING", "CANCELLED"));
  EXPECT_THAT(Offered("quantize m |"), ElementsAre("gguf", "awq", "gptq"));
  EXPECT_THAT(Offered("quantize -q Q8_0 m g"), ElementsAre("gguf", "gptq"));
  EXPECT_THAT(Offered("quantize m gguf |"), ElementsAre());
}

TEST(CompletionTest, OffersTheLevelsOfTheFormat) {
  EXPECT_THAT(Offered("quantize m gguf -q |"), ElementsAre("Q4_0", "Q4_K_M", "Q8_0"));
  EXPECT_THAT(Offered("quantize m gguf --quant-level=Q8"), ElementsAre("--quant-level=Q8_0"));
  EXPECT_THAT(Offered("quantize m gguf -q Q8_0,Q4_K"), ElementsAre("Q8_0,Q4_K_M"));
  EXPECT_THAT(Offered("quantize m awq -q |"), ElementsAre("4bit"));
  EXPECT_THAT(Offered("convert m gguf -q Q8"), ElementsAre("Q8_0"));
  EXPECT_THAT(Offered("quantize m -q |"), ElementsAre());
}

TEST(CompletionTest, LeavesPathsToTheShell) {
  EXPECT_THAT(Offered("quantize |"), ElementsAre(":files"));
  EXPECT_THAT(Offered("quantize ./m"), ElementsAre(":files"));
  EXPECT_THAT(Offered("quantize m gguf -o |"), ElementsAre(":directories"));
  EXPECT_THAT(Offered("quantize m gguf --output-dir=x"), ElementsAre(":directories"));
  EXPECT_THAT(Offered("quantize m gguf --calibration-data ./d"), ElementsAre(":files"));
  EXPECT_THAT(Offered("jobs show |"), ElementsAre());
}

TEST(CompletionTest, NothingIsAnOptionAfterTwoHyphens) {
  EXPECT_THAT(Offered("quantize -- m g"), ElementsAre("gguf", "gptq"));
  EXPECT_THAT(Offered("quantize -- m -"), ElementsAre());
}

TEST(CompletionTest, TellsWhatWordsMean) {
  const std::vector<std::string> words = {"conv"};
  EXPECT_EQ(CompletionLines(words, SomeLevels), "convert\tConvert between quantized formats.\n");
}

}  // namespace
}  // namespace quantized
