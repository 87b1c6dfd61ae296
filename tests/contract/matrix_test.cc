// matrix.csv names, for every line of the command line contract, what holds it: a test
// (Suite.Name), a transcript (transcript:NAME), or the work that it waits for (waits for: …). What
// it names must be there.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>
#include <set>
#include <string>
#include <vector>

#include "tests/support/paths.h"

namespace quantized::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::Contains;
using ::testing::ElementsAre;

std::string Contents(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

// One line of CSV: fields with a comma or quote in them stand in quotes, which are doubled inside.
std::vector<std::string> CsvFields(const std::string& line) {
  std::vector<std::string> fields(1);
  bool quoted = false;
  for (size_t i = 0; i < line.size(); ++i) {
    const bool doubled = quoted && line[i] == '"' && i + 1 < line.size() && line[i + 1] == '"';
    if (doubled) {
      fields.back() += line[i++];
    } else if (line[i] == '"') {
      quoted = !quoted;
    } else if (line[i] == ',' && !quoted) {
      fields.emplace_back();
    } else {
      fields.back() += line[i];
    }
  }
  return fields;
}

// "Suite.Name" of every test in the tree.
std::set<std::string> TestNames() {
  static const std::regex kTest(R"(\bTEST(?:_F|_P)?\(\s*(\w+),\s*(\w+)\s*\))");
  std::set<std::string> names;
  for (const char* top : {"kernels", "core", "daemon", "client", "tests"}) {
    for (const auto& entry : fs::recursive_directory_iterator(SourceDir() / top)) {
      if (!entry.path().native().ends_with("_test.cc")) continue;
      const std::string text = Contents(entry.path());
      for (std::sregex_iterator it(text.begin(), text.end(), kTest), end; it != end; ++it) {
        names.insert((*it)[1].str() + "." + (*it)[2].str());
      }
    }
  }
  return names;
}

struct Holders {
  std::vector<std::string> tests, transcripts;
  bool waits = false;
};
Holders ParseHolders(const std::string& text) {
  static const std::regex kTranscript(R"(transcript:(\w+))"), kTest(R"(\b[A-Z]\w+Test\.\w+)");
  Holders holders;
  for (std::sregex_iterator it(text.begin(), text.end(), kTranscript), end; it != end; ++it) {
    holders.transcripts.push_back((*it)[1]);
  }
  for (std::sregex_iterator it(text.begin(), text.end(), kTest), end; it != end; ++it) {
    holders.tests.push_back(it->str());
  }
  holders.waits = text.find("waits for: ") != std::string::npos;
  return holders;
}

TEST(ContractMatrixTest, NamesOnlyTestsThatAreThere) {
  std::ifstream matrix(SourceDir() / "tests/contract/matrix.csv");
  std::string line;
  ASSERT_TRUE(std::getline(matrix, line));
  ASSERT_THAT(CsvFields(line), ElementsAre("item", "where", "held_by"));
  const std::set<std::string> tests = TestNames();
  std::set<std::string> items;
  while (std::getline(matrix, line)) {
    SCOPED_TRACE(line);
    const std::vector<std::string> fields = CsvFields(line);
    ASSERT_EQ(fields.size(), 3);
    EXPECT_TRUE(items.insert(fields[1] + ": " + fields[0]).second) << "twice";
    const Holders holders = ParseHolders(fields[2]);
    EXPECT_TRUE(holders.waits || !holders.tests.empty() || !holders.transcripts.empty());
    for (const std::string& name : holders.tests) EXPECT_THAT(tests, Contains(name));
    for (const std::string& name : holders.transcripts) {
      EXPECT_TRUE(fs::exists(SourceDir() / "tests/contract/transcripts" / (name + ".txt"))) << name;
    }
  }
  // The contract has this many lines, options, keys, codes, examples and variables.
  EXPECT_EQ(items.size(), 114);
}

TEST(ContractMatrixTest, ReadsItsFormat) {
  EXPECT_THAT(CsvFields("a,\"b, \"\"c\"\"\",d"), ElementsAre("a", "b, \"c\"", "d"));
  const Holders holders =
      ParseHolders("SomeTest.Holds; transcript:one; waits for: more (refused: transcript:two)");
  EXPECT_THAT(holders.tests, ElementsAre("SomeTest.Holds"));
  EXPECT_THAT(holders.transcripts, ElementsAre("one", "two"));
  EXPECT_TRUE(holders.waits);
  EXPECT_THAT(TestNames(), Contains("ContractMatrixTest.ReadsItsFormat"));
}

}  // namespace
}  // namespace quantized::testing
