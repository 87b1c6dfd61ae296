// `info org/name` where the repository has GGUF files, with a Hub on the loopback: what is told is
// what is told of the files themselves, which are not fetched.
#include <filesystem>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/e2e/hub_user.h"

namespace quantized {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::HasSubstr;
using testing::HubUser;
using ::testing::IsEmpty;
using testing::ProcessResult;

class HubGgufTest : public ::testing::Test {
 protected:
  ProcessResult Run(const std::vector<std::string>& arguments) const {
    ProcessResult result = user_.Run(arguments);
    EXPECT_EQ(result.exit_code, 0) << result.out << result.err;
    return result;
  }
  json RunJson(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), {"--format", "json"});
    return json::parse(Run(arguments).out, nullptr, false);
  }
  // A folder with the small model as Q8_0.
  fs::path MakeGguf(const std::vector<std::string>& more) const {
    const fs::path folder = user_.sandbox.work() / "files";
    std::vector<std::string> words = {
        "quantize", testing::TinyModel(), "gguf", "-q", "Q8_0", "-o", folder, "-n", "tiny"};
    words.insert(words.end(), more.begin(), more.end());
    Run(words);
    return folder;
  }
  // Of the folder's model, and the same from the Hub.
  void ExpectSameInfo(const fs::path& folder) {
    testing::HubRepository repository{.name = "me/tiny-gguf"};
    repository.AddFolder(folder);
    user_.server.Add(std::move(repository));
    json local = RunJson({"info", folder, "--tensors"});
    EXPECT_EQ(local["format"], "gguf");
    EXPECT_EQ(local["quantization_level"], "Q8_0");
    EXPECT_EQ(local["tensor_count"], 21);
    EXPECT_EQ(local["files"], testing::FilesBelow(folder).size());
    EXPECT_THAT(user_.server.requests(), IsEmpty());
    local["model_name"] = "me/tiny-gguf";
    EXPECT_EQ(RunJson({"info", "me/tiny-gguf", "--tensors"}), local);
    EXPECT_THAT(Run({"info", "me/tiny-gguf"}).out, HasSubstr("Model: me/tiny-gguf\n"));
    EXPECT_FALSE(fs::exists(user_.cache()));
  }

  HubUser user_;
};

TEST_F(HubGgufTest, InfoOfOneFile) { ExpectSameInfo(MakeGguf({})); }

TEST_F(HubGgufTest, InfoOfASplitModel) {
  const fs::path folder = MakeGguf({"--split-max-size", "1M"});
  EXPECT_GT(testing::FilesBelow(folder).size(), 1u);
  ExpectSameInfo(folder);
}

}  // namespace
}  // namespace quantized
