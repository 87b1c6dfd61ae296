#include "daemon/worker/plan.h"

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "quantized/v1/job.pb.h"
#include "tests/support/paths.h"
#include "tests/support/synthetic_model.h"

namespace quantized {
namespace {

using ::testing::HasSubstr;

class PlanTest : public ::testing::Test {
 protected:
  v1::QuantizeSpec Spec(const std::vector<std::string>& levels) const {
    v1::QuantizeSpec spec;
    spec.set_model_path(folder_.path() / "m.gguf");
    spec.set_format("gguf");
    spec.set_threads(3);
    for (const std::string& level : levels) {
      v1::OutputSpec& output = *spec.add_outputs();
      output.set_level(level);
      output.set_path(folder_.path() / (level + ".gguf"));
    }
    return spec;
  }

  // The object that it prints for `input`; the exit code is in exit_code_.
  nlohmann::json Plan(const std::string& input) {
    std::FILE* file = std::tmpfile();
    EXPECT_EQ(std::fwrite(input.data(), 1, input.size(), file), input.size());
    std::rewind(file);
    ::testing::internal::CaptureStdout();
    exit_code_ = RunPlan(file);
    std::fclose(file);
    const std::string text = ::testing::internal::GetCapturedStdout();
    const auto object = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
    EXPECT_TRUE(object.is_object()) << text;
    return object;
  }

  testing::TempDir folder_;
  int exit_code_ = -1;
};

TEST_F(PlanTest, PrintsOneObject) {
  ASSERT_TRUE(testing::WriteSyntheticModel(folder_.path() / "m.gguf", {.layers = 3}).ok());
  const nlohmann::json plan = Plan(Spec({"q8_0", "Q4_K_M"}).SerializeAsString());
  EXPECT_EQ(exit_code_, 0);
  EXPECT_EQ(plan["status"], "plan");
  EXPECT_EQ(plan["num_layers"], 3);
  EXPECT_EQ(plan["threads"], 3);
  ASSERT_EQ(plan["outputs"].size(), 2u);
  EXPECT_EQ(plan["outputs"][0]["quantization_level"], "Q8_0");
  EXPECT_EQ(plan["outputs"][0]["files"][0], (folder_.path() / "q8_0.gguf").string());
  EXPECT_EQ(plan["outputs"][0]["file_size"].get<uint64_t>() +
                plan["outputs"][1]["file_size"].get<uint64_t>(),
            plan["disk_needed_bytes"].get<uint64_t>());
  for (const char* key : {"memory_needed_bytes", "memory_available_bytes", "disk_free_bytes"}) {
    EXPECT_GT(plan[key], 0) << key;
  }
  EXPECT_TRUE(plan["warnings"].is_array());
  EXPECT_FALSE(std::filesystem::exists(folder_.path() / "q8_0.gguf"));
}

TEST_F(PlanTest, PrintsTheErrorThatTheJobWouldHave) {
  nlohmann::json error = Plan(Spec({"Q8_0"}).SerializeAsString());
  EXPECT_EQ(exit_code_, 3);
  EXPECT_EQ(error["error_type"], "ModelNotFoundError");
  error = Plan(Spec({"Q8_0", "Q9_X", "Q7_Y"}).SerializeAsString());
  EXPECT_EQ(exit_code_, 2);
  EXPECT_THAT(error["message"].get<std::string>(), HasSubstr("'Q9_X'"));
  EXPECT_THAT(error["message"].get<std::string>(), HasSubstr("'Q7_Y'"));
}

TEST_F(PlanTest, RefusesWhatIsNoSpec) {
  for (const std::string& input : {std::string("\xff\xff\xff"), std::string(2 << 20, 'x')}) {
    EXPECT_EQ(Plan(input)["error_type"], "InvalidArgumentError");
    EXPECT_EQ(exit_code_, 2);
  }
}

}  // namespace
}  // namespace quantized
