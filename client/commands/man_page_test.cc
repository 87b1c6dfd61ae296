#include "client/commands/man_page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <regex>

#include "client/commands/command_table.h"
#include "core/base/error.h"
#include "tests/support/paths.h"
#include "tests/support/process.h"

namespace quantized {
namespace {

using ::testing::HasSubstr;

// What a reader sees of a page, each run of spaces as one.
std::string Shown(const std::filesystem::path& file) {
  const testing::ProcessResult shown =
      testing::RunProcess({"/bin/sh", "-c", "man -l \"$0\" | tr -s ' \\n' ' '", file},
                          {.environment = {{"MANWIDTH", "100"}, {"LC_ALL", "C.UTF-8"}}});
  EXPECT_EQ(shown.exit_code, 0) << shown.err;
  return shown.out;
}

bool Has(const std::string& program) {
  return testing::RunProcess({"/bin/sh", "-c", "command -v " + program}).exit_code == 0;
}

// The pages that the build made, by their names.
std::map<std::string, std::filesystem::path> BuiltPages() {
  std::map<std::string, std::filesystem::path> pages;
  for (const auto& entry :
       std::filesystem::directory_iterator(testing::BinDir().parent_path() / "share/man/man1")) {
    pages.emplace(entry.path().stem(), entry.path());
  }
  return pages;
}

class ManPageTest : public ::testing::Test {
 protected:
  const std::filesystem::path& PageOf(std::string_view command) const {
    return pages_.at("llm-quantize-" + std::string(command.substr(0, command.find(' '))));
  }

  const std::map<std::string, std::filesystem::path> pages_ = BuiltPages();
};

TEST_F(ManPageTest, EveryWordHasOne) { EXPECT_EQ(pages_.size(), 1 + FirstWords().size()); }

TEST_F(ManPageTest, ShowsEveryRow) {
  if (!Has("man")) GTEST_SKIP() << "no man here";
  const std::string program = Shown(pages_.at("llm-quantize"));
  for (const OptionRow& row : GlobalOptions())
    EXPECT_THAT(program, HasSubstr(std::string(row.help)));
  for (const VariableRow& row : Variables()) EXPECT_THAT(program, HasSubstr(std::string(row.help)));
  for (const ErrorRow& row : AllErrors())
    EXPECT_THAT(program, HasSubstr(std::string(row.error_type)));
  for (const Command* command : AllCommands()) {
    SCOPED_TRACE(command->name);
    EXPECT_THAT(program, HasSubstr(std::string(command->summary)));
    const std::string page = Shown(PageOf(command->name));
    EXPECT_THAT(page, HasSubstr("llm-quantize " + std::string(command->name) + " [OPTIONS]"));
    EXPECT_THAT(page, HasSubstr(std::string(command->summary)));
    for (const ArgumentRow& row : command->arguments)
      EXPECT_THAT(page, HasSubstr(std::string(row.help)));
    for (const OptionRow& row : command->options) {
      EXPECT_THAT(page, HasSubstr(std::string(row.name)));
      EXPECT_THAT(page, HasSubstr(std::string(row.help)));
    }
    for (const ExampleRow& row : command->examples)
      EXPECT_THAT(page, HasSubstr(std::string(row.command)));
  }
}

TEST_F(ManPageTest, HasTheVariablesOfTheReadme) {
  if (!Has("man")) GTEST_SKIP() << "no man here";
  std::ifstream readme(testing::SourceDir() / "README.md");
  std::string line;
  while (std::getline(readme, line) && line != "## Environment") {
  }
  const std::string page = Shown(pages_.at("llm-quantize"));
  static const std::regex kVariable("`([A-Z_]+)`");
  int found = 0;
  while (std::getline(readme, line) && !line.starts_with("## ")) {
    const std::string names = line.starts_with("| `") ? line.substr(0, line.find('|', 1)) : "";
    for (std::sregex_iterator it(names.begin(), names.end(), kVariable), end; it != end; ++it) {
      EXPECT_THAT(page, HasSubstr((*it)[1].str()));
      ++found;
    }
  }
  EXPECT_GE(found, 4);
}

TEST_F(ManPageTest, IsWithoutWarnings) {
  if (!Has("man")) GTEST_SKIP() << "no man here";
  for (const auto& [name, file] : pages_) {
    const testing::ProcessResult read =
        testing::RunProcess({"man", "--warnings=w", "-E", "UTF-8", "-l", file});
    EXPECT_EQ(read.exit_code, 0) << name;
    EXPECT_EQ(read.err, "") << name;
  }
}

TEST_F(ManPageTest, IsGoodManForMandoc) {
  if (!Has("mandoc")) GTEST_SKIP() << "no mandoc here";
  for (const auto& [name, file] : pages_) {
    const testing::ProcessResult read =
        testing::RunProcess({"mandoc", "-T", "lint", "-W", "warning", file});
    EXPECT_EQ(read.exit_code, 0) << name << ":\n" << read.out;
  }
}

}  // namespace
}  // namespace quantized
