#include "daemon/worker/inspect.h"

#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/support/paths.h"
#include "tests/support/synthetic_model.h"

namespace quantized {
namespace {

struct Printed {
  int exit_code = 0;
  nlohmann::json object;
};

Printed RunAndParse(const std::filesystem::path& path, std::vector<std::string> options = {}) {
  options.insert(options.begin(), path.string());
  std::vector<char*> words;
  for (std::string& word : options) words.push_back(word.data());
  ::testing::internal::CaptureStdout();
  Printed printed;
  printed.exit_code = RunInspect(words).value_or(-1);
  const std::string text = ::testing::internal::GetCapturedStdout();
  printed.object = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  EXPECT_TRUE(printed.object.is_object()) << text;
  return printed;
}

class InspectTest : public ::testing::Test {
 protected:
  testing::TempDir folder_;
};

TEST_F(InspectTest, PrintsOneObject) {
  const std::filesystem::path model = folder_.path() / "m.gguf";
  ASSERT_TRUE(testing::WriteSyntheticModel(model, {.layers = 3}).ok());
  const Printed printed = RunAndParse(model);
  EXPECT_EQ(printed.exit_code, 0);
  EXPECT_EQ(printed.object["num_layers"], 3);
  EXPECT_EQ(printed.object["format"], "gguf");
}

TEST_F(InspectTest, DoesMoreIfAsked) {
  const std::filesystem::path model = folder_.path() / "m.gguf";
  ASSERT_TRUE(testing::WriteSyntheticModel(model, {.layers = 3}).ok());
  const Printed printed =
      RunAndParse(model, {"--tensors", "--verify", "--against", model.string()});
  EXPECT_EQ(printed.exit_code, 0);
  const auto count = printed.object["tensor_count"].get<size_t>();
  EXPECT_EQ(printed.object["tensors"].size(), count);
  EXPECT_EQ(printed.object["verified_tensors"], count);
  EXPECT_EQ(printed.object["tensor_errors"].size(), count);
  EXPECT_EQ(printed.object["relative_error"], 0);
  const std::string model_path = model.string();
  for (std::vector<std::string> words :
       {std::vector<std::string>{}, {model_path, "--against"}, {model_path, "--fast"}}) {
    std::vector<char*> pointers;
    for (std::string& word : words) pointers.push_back(word.data());
    EXPECT_EQ(RunInspect(pointers), std::nullopt);
  }
}

TEST_F(InspectTest, PrintsTheContractsErrorObject) {
  const Printed missing = RunAndParse(folder_.path() / "none");
  EXPECT_EQ(missing.exit_code, 3);
  EXPECT_EQ(missing.object["status"], "error");
  EXPECT_EQ(missing.object["error_code"], 3);
  EXPECT_EQ(missing.object["error_type"], "ModelNotFoundError");
  EXPECT_NE(missing.object["message"], "");
  EXPECT_TRUE(missing.object["suggestion"].is_string());

  const std::filesystem::path damaged = folder_.path() / "damaged.gguf";
  std::ofstream(damaged) << "GGUF and no more";
  EXPECT_EQ(RunAndParse(damaged).exit_code, 6);
}

TEST_F(InspectTest, PrintsNamesThatAreNoUtf8) {
  EXPECT_EQ(RunAndParse(folder_.path() / "no\xff").object["error_code"], 3);
}

}  // namespace
}  // namespace quantized
