// The completion scripts of deploy/completions in the shells that they are for.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>
#include <string>
#include <vector>

#include "tests/support/paths.h"
#include "tests/support/sandbox.h"

namespace quantized::testing {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

class CompletionScriptsTest : public ::testing::Test {
 protected:
  bool Has(const std::string& shell) const {
    return user_.RunInShell("command -v " + shell).exit_code == 0;
  }

  std::vector<std::string> LinesOf(const std::string& command) const {
    const ProcessResult result = user_.RunInShell(command);
    EXPECT_EQ(result.exit_code, 0) << command;
    EXPECT_EQ(result.err, "") << command;
    std::vector<std::string> lines;
    std::istringstream in(result.out);
    for (std::string line; std::getline(in, line);) lines.push_back(line);
    return lines;
  }

  // What Tab finds at the end of `line`; where it leaves files or directories to bash, how.
  std::vector<std::string> InBash(const std::string& line) const {
    return LinesOf(R"(exec bash --norc -c '
      compopt() { echo "compopt $*"; }
      . "$SOURCE_DIR/deploy/completions/llm-quantize.bash"
      COMP_LINE=$1 COMP_POINT=${#1}
      _llm_quantize
      [ ${#COMPREPLY[@]} = 0 ] || printf "%s\n" "${COMPREPLY[@]}"' bash ')" +
                   line + "'");
  }

  // The same, without the descriptions.
  std::vector<std::string> InFish(const std::string& line) const {
    return LinesOf(R"(fish --no-config -c '
      source $SOURCE_DIR/deploy/completions/llm-quantize.fish
      complete -C $argv[1]' -- ')" +
                   line + "' | cut -f 1");
  }

  // `words` as they are on the command line; the last one is at the cursor.
  std::vector<std::string> InZsh(const std::string& words) const {
    return LinesOf(R"(zsh -f -c '
      compdef() { : }
      compset() { : }
      compadd() { (( ! $#found )) || print -rl -- $found }
      _files() { print -r -- files $* }
      source "$SOURCE_DIR/deploy/completions/_llm-quantize"
      words=("$@") CURRENT=$#
      _llm_quantize' zsh )" +
                   words);
  }

  Sandbox user_;
};

TEST_F(CompletionScriptsTest, BashCompletesCommandLines) {
  if (!Has("bash")) GTEST_SKIP() << "no bash here";
  EXPECT_THAT(InBash("llm-quantize qu"), ElementsAre("quantize"));
  EXPECT_THAT(InBash("llm-quantize jobs "), Contains("attach"));
  EXPECT_THAT(InBash("llm-quantize --host unix:/run/s jobs at"), ElementsAre("attach"));
  EXPECT_THAT(InBash("llm-quantize jobs list --state C"), ElementsAre("CANCELLING", "CANCELLED"));
  EXPECT_THAT(InBash("llm-quantize quantize ./my\\ model a"), ElementsAre("awq"));
  EXPECT_THAT(InBash("llm-quantize quantize m gguf --quant"), ElementsAre("--quant-level"));
  EXPECT_THAT(InBash("llm-quantize quantise "), IsEmpty());
  EXPECT_THAT(InBash("llm-quantize quantize m gguf -q Q8_0,Q4_K_"),
              ElementsAre("Q8_0,Q4_K_S", "Q8_0,Q4_K_M"));
}

TEST_F(CompletionScriptsTest, BashReplacesOnlyWhatFollowsAnEqualsSign) {
  if (!Has("bash")) GTEST_SKIP() << "no bash here";
  EXPECT_THAT(InBash("llm-quantize info m --format=j"), ElementsAre("json"));
}

TEST_F(CompletionScriptsTest, BashCompletesPathsItself) {
  if (!Has("bash")) GTEST_SKIP() << "no bash here";
  EXPECT_THAT(InBash("llm-quantize quantize ./m"), ElementsAre("compopt -o default"));
  EXPECT_THAT(InBash("llm-quantize quantize m gguf -o "), ElementsAre("compopt -o dirnames"));
}

TEST_F(CompletionScriptsTest, NoDaemonIsStarted) {
  if (!Has("bash")) GTEST_SKIP() << "no bash here";
  EXPECT_THAT(InBash("llm-quantize jobs show "), IsEmpty());
  EXPECT_THAT(user_.Processes("quantized"), IsEmpty());
  EXPECT_THAT(FilesBelow(user_.path()), IsEmpty());
}

TEST_F(CompletionScriptsTest, FishCompletesCommandLines) {
  if (!Has("fish")) GTEST_SKIP() << "no fish here";
  EXPECT_THAT(InFish("llm-quantize qu"), ElementsAre("quantize"));
  EXPECT_THAT(InFish("llm-quantize info m --format=j"), ElementsAre("--format=json"));
  std::filesystem::create_directory(user_.work() / "folder");
  EXPECT_THAT(InFish("llm-quantize quantize ./fo"), ElementsAre("./folder/"));
  EXPECT_THAT(InFish("llm-quantize quantize m gguf --output-dir=fo"),
              ElementsAre("--output-dir=folder/"));
  EXPECT_THAT(InFish("llm-quantize jobs list --state C"),
              UnorderedElementsAre("CANCELLING", "CANCELLED"));
}

TEST_F(CompletionScriptsTest, ZshCompletesCommandLines) {
  if (!Has("zsh")) GTEST_SKIP() << "no zsh here";
  EXPECT_THAT(InZsh("llm-quantize qu"), ElementsAre("quantize"));
  EXPECT_THAT(InZsh("llm-quantize jobs ''"), Contains("attach"));
  EXPECT_THAT(InZsh("llm-quantize jobs list --state C"),
              UnorderedElementsAre("CANCELLING", "CANCELLED"));
  EXPECT_THAT(InZsh("llm-quantize info m --format=j"), ElementsAre("--format=json"));
  EXPECT_THAT(InZsh("llm-quantize quantize ./m"), ElementsAre("files"));
  EXPECT_THAT(InZsh("llm-quantize quantize m gguf -o ''"), ElementsAre("files -/"));
  EXPECT_THAT(InZsh("llm-quantize quantise ''"), IsEmpty());
  EXPECT_THAT(LinesOf("zsh -f -n \"$SOURCE_DIR/deploy/completions/_llm-quantize\""), IsEmpty());
}

}  // namespace
}  // namespace quantized::testing
