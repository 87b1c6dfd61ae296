#include "client/commands/help.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "client/commands/command_table.h"
#include "tests/support/paths.h"

namespace quantized {
namespace {

using ::testing::HasSubstr;

TEST(HelpTest, NamesEveryCommandAndOption) {
  const std::string program = HelpText(nullptr, "");
  EXPECT_THAT(program, HasSubstr("llm-quantize [OPTIONS] COMMAND [ARGS]\n"));
  for (const OptionRow& row : GlobalOptions())
    EXPECT_THAT(program, HasSubstr(std::string(row.name)));
  for (const Command* command : AllCommands()) {
    EXPECT_THAT(program, HasSubstr(std::string(command->summary)));
    const std::string help = HelpText(command, "");
    EXPECT_THAT(help, HasSubstr(std::string(command->summary)));
    for (const OptionRow& row : command->options)
      EXPECT_THAT(help, HasSubstr(std::string(row.help)));
    for (const ArgumentRow& row : command->arguments) {
      EXPECT_THAT(help, HasSubstr(std::string(row.help)));
    }
  }
}

TEST(HelpTest, AGroupShowsItsCommandsOnly) {
  const std::string help = HelpText(nullptr, "jobs");
  EXPECT_THAT(help, HasSubstr("jobs attach"));
  EXPECT_THAT(help, ::testing::Not(HasSubstr("quantize a model")));
}

TEST(CliReferenceTest, TheCommittedOneIsCurrent) {
  std::ostringstream committed;
  committed << std::ifstream(testing::SourceDir() / "docs/cli.md").rdbuf();
  const std::string current = CliReference();
  const auto fresh = testing::BinDir() / "cli.md";
  std::ofstream(fresh) << current;
  EXPECT_TRUE(committed.str() == current) << "copy " << fresh << " to docs/cli.md";
}

}  // namespace
}  // namespace quantized
