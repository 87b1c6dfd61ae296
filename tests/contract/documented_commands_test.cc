// Runs every command that README.md and the manual pages show, with the arguments that they show,
// as a user would who tries one after the other. Models of their names, in folders and on a Hub on
// the loopback, are small ones.
#include "tests/contract/documented_commands.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <regex>
#include <string_view>

#include "client/commands/command_table.h"
#include "tests/support/hf_models.h"
#include "tests/support/hub_server.h"
#include "tests/support/narrow_model.h"
#include "tests/support/paths.h"
#include "tests/support/sandbox.h"

namespace quantized::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// README.md shows an error where there is one; what ends otherwise all the same.
const std::map<std::string_view, int> kOtherExitCodes = {
    // Asks on the terminal, and there is none here.
    {"llm-quantize convert ./SmolLM2-135M-Instruct-gptq-4bit gguf -q Q4_K_M", 9},
};

class DocumentedCommandsTest : public ::testing::Test {
 protected:
  // `command` with the newest job in the place of the job that it names.
  std::string WithRealId(const std::string& command) const {
    static const std::regex kId("[0-9A-HJKMNP-TV-Z]{26}");
    if (!std::regex_search(command, kId)) return command;
    const auto jobs = nlohmann::json::parse(user_.Run({"--format", "json", "jobs", "list"}).out);
    return std::regex_replace(command, kId, jobs.at("jobs").at(0).at("id").get<std::string>());
  }

  ProcessResult Run(const std::string& command) const {
    return user_.RunInShell(WithRealId(command), {{"HF_ENDPOINT", hub_.endpoint()}});
  }

  void AddToHub(const std::string& name) {
    HubRepository model{.name = name};
    model.AddFolder(TinyModel());
    hub_.Add(std::move(model));
  }

  Sandbox user_;
  HubServer hub_;
};

TEST_F(DocumentedCommandsTest, ThoseOfTheReadmeDoWhatItShows) {
  WriteNarrowModel(user_.work() / "SmolLM2-135M-Instruct");
  AddToHub("org/name");
  const auto commands = DocumentedCommands(ReadAll(SourceDir() / "README.md"));
  EXPECT_GT(commands.size(), 12u);
  for (const DocumentedCommand& shown : commands) {
    SCOPED_TRACE("README.md:" + std::to_string(shown.line) + ": " + shown.command);
    const ProcessResult result = Run(shown.command);
    const std::string printed = result.out + result.err;
    std::vector<std::string> labels = LabelsOf(shown.output);
    const bool fails = std::ranges::count(labels, "[llm-quantize] Error:") > 0;
    std::erase_if(labels,
                  [&](const std::string& one) { return printed.find(one) != std::string::npos; });
    EXPECT_THAT(labels, IsEmpty()) << "not in " << printed;
    const auto other = kOtherExitCodes.find(shown.command);
    if (other != kOtherExitCodes.end()) {
      EXPECT_EQ(result.exit_code, other->second) << printed;
    } else {
      EXPECT_EQ(result.exit_code != 0, fails) << printed;
    }
  }
}

TEST_F(DocumentedCommandsTest, ThoseOfTheManualPagesWork) {
  CopyModel(TinyModel(), user_.work() / "model");
  CopyModel(TinyModel(), user_.work() / "my-model");
  AddToHub("meta-llama/Llama-2-7b-hf");
  nlohmann::json records;
  for (int i = 0; i < 100; ++i) {
    records.push_back({{"text", "Number " + std::to_string(i) + " of the texts to calibrate on."}});
  }
  WriteAll(user_.work() / "data.json", records.dump());
  // A result that is not good enough stays in the checkpoint.
  ASSERT_EQ(Run("llm-quantize quantize ./model gguf -q Q4_K_M --max-kld 0 --checkpoint-dir "
                "./checkpoint")
                .exit_code,
            6);
  ASSERT_EQ(Run("llm-quantize quantize ./my-model gptq -q 4bit").exit_code, 0);

  for (const Command* command : AllCommands()) {
    for (const ExampleRow& example : command->examples) {
      SCOPED_TRACE(example.command);
      const ProcessResult result = Run(std::string(example.command));
      EXPECT_EQ(result.exit_code, 0) << result.out << result.err;
    }
  }
}

TEST(ReadDocumentedCommandsTest, TakesThemFromBlocksAndText) {
  const auto commands = DocumentedCommands(
      "Text with `llm-quantize info --help` and `llm-quantize COMMAND --help`.\n"
      "```console\n"
      "$ one\n"
      "Output: x\n"
      "$ two\n"
      "```\n"
      "```sh\n"
      "llm-quantize info ./m   # a comment\n"
      "other\n"
      "```\n"
      "```\n"
      "llm-quantize SYNOPSIS\n"
      "```\n");
  ASSERT_EQ(commands.size(), 4);
  EXPECT_EQ(commands[0].command, "llm-quantize info --help");
  EXPECT_EQ(commands[0].line, 1);
  EXPECT_EQ(commands[1].command, "one");
  EXPECT_THAT(commands[1].output, ElementsAre("Output: x"));
  EXPECT_EQ(commands[2].command, "two");
  EXPECT_THAT(commands[2].output, IsEmpty());
  EXPECT_EQ(commands[3].command, "llm-quantize info ./m   # a comment");
}

TEST(ReadDocumentedCommandsTest, NamesLines) {
  EXPECT_THAT(LabelsOf({"Peak Memory: 30.7 MB", "  \"files\": [", "Substitution: Q8_0: 1", "{", "…",
                        "ID  2026-11-23 03:19:42", "Report:"}),
              ElementsAre("Peak Memory:", "  \"files\":", "Substitution:", "Report:"));
}

}  // namespace
}  // namespace quantized::testing
