// `quantized` links no parser, no kernel and no pipeline: a damaged model file can then never reach
// its process, whatever an include would allow. Read from ninja's link commands of this build.
#include <set>
#include <sstream>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/paths.h"
#include "tests/support/process.h"

namespace quantized::testing {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::Not;
using ::testing::StartsWith;

// Names of the static libraries of ours that the link command of `program` names: "core_base".
std::set<std::string> LibrariesOf(const std::string& program) {
  const auto commands =
      RunProcess({"ninja", "-C", BinDir().parent_path(), "-t", "commands", "-s", "bin/" + program});
  EXPECT_EQ(commands.exit_code, 0) << commands.err;
  std::set<std::string> libraries;
  std::istringstream words(commands.out);
  for (std::string word; words >> word;) {
    const std::string file = word.substr(word.rfind('/') + 1);
    const bool ours = !word.starts_with('/') && file.starts_with("lib") && file.ends_with(".a");
    if (ours) libraries.insert(file.substr(3, file.size() - 5));
  }
  return libraries;
}

TEST(LinkClosureTest, TheDaemonLinksNoParserAndNoPipeline) {
  const std::set<std::string> libraries = LibrariesOf("quantized");
  EXPECT_THAT(libraries, Contains("core_base"));
  EXPECT_THAT(libraries, Contains("daemon_queue"));
  EXPECT_THAT(libraries, Not(Contains("daemon_worker_jobs")));
  for (const std::string& library : libraries) {
    if (library == "core_base") continue;
    EXPECT_THAT(library, AllOf(Not(StartsWith("core_")), Not(StartsWith("kernels_"))));
  }
}

TEST(LinkClosureTest, TheClientLinksNoneOfThem) {
  const std::set<std::string> libraries = LibrariesOf("llm-quantize");
  EXPECT_THAT(libraries, Contains("core_base"));
  for (const std::string& library : libraries) {
    if (library == "core_base") continue;
    EXPECT_THAT(library, AllOf(Not(StartsWith("core_")), Not(StartsWith("kernels_")),
                               Not(StartsWith("daemon_"))));
  }
}

// What talks to the internet sees no model file from inside.
TEST(LinkClosureTest, TheFetcherLinksNoParser) {
  EXPECT_THAT(
      LibrariesOf("quantize-fetch"),
      ::testing::UnorderedElementsAre("core_base", "daemon_answer", "daemon_hub", "daemon_worker",
                                      "daemon_worker_attempt", "proto_messages"));
}

TEST(LinkClosureTest, NobodyElseTalksToTheInternet) {
  for (const std::string program : {"quantized", "llm-quantize", "quantize-worker"}) {
    EXPECT_THAT(LibrariesOf(program), Not(Contains("daemon_hub"))) << program;
  }
}

// The reading finds what it looks for.
TEST(LinkClosureTest, TheWorkerLinksThem) {
  const std::set<std::string> libraries = LibrariesOf("quantize-worker");
  EXPECT_THAT(libraries, Contains("daemon_worker_jobs"));
  EXPECT_THAT(libraries, Contains("core_pipeline"));
}

}  // namespace
}  // namespace quantized::testing
