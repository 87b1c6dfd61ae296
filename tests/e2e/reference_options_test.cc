// The options of llama-quantize through the real programs: with each command line that the
// reference was recorded with (tests/golden/data/models), the result is the reference's file.
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "core/base/file.h"
#include "core/base/sha256.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/support/sandbox.h"

namespace quantized {
namespace {

namespace fs = std::filesystem;

TEST(ReferenceOptionsTest, EachCommandLineGivesTheReferencesFile) {
  const testing::Sandbox sandbox;
  const fs::path models = testing::GoldenDir() / "models";
  for (const char* file : {"nano-rows-f16.gguf", "nano-rows-f16.imatrix.gguf"}) {
    fs::copy(models / file, sandbox.work() / file);
  }
  std::ifstream in(models / "nano-rows-f16.json");
  const auto golden = nlohmann::json::parse(in, nullptr, false);
  ASSERT_FALSE(golden.is_discarded());

  int command_lines = 0;
  for (const auto& [name, expected] : golden["cases"].items()) {
    if (!expected.contains("options")) continue;
    SCOPED_TRACE(name);
    std::vector<std::string> command = {
        "quantize",      "nano-rows-f16.gguf", "gguf",       "-q", name.substr(0, name.find('/')),
        "--output-name", "out.gguf",           "--overwrite"};
    for (const std::string word : expected["options"]) command.push_back(word);
    const testing::ProcessResult result = sandbox.Run(command);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    const auto made = ReadFile(sandbox.work() / "out.gguf", uint64_t{1} << 32);
    ASSERT_TRUE(made.ok()) << made.status();
    EXPECT_EQ(Sha256Hex(*made), expected["file_sha256"]);
    ++command_lines;
  }
  EXPECT_GE(command_lines, 11);
}

}  // namespace
}  // namespace quantized
