#include "core/pipeline/forecast.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "core/base/error.h"
#include "tests/support/paths.h"
#include "tests/support/quantize_job.h"
#include "tests/support/synthetic_model.h"

namespace quantized {
namespace {

namespace fs = std::filesystem;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class ForecastTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(testing::WriteSyntheticModel(model_, {}).ok()); }

  QuantizeRequest Request(const std::vector<std::string>& levels) const {
    QuantizeRequest request;
    request.model_path = model_;
    request.checkpoint.directory = dir_.path() / "checkpoints";
    for (const std::string& level : levels) {
      request.outputs.push_back({.level = level, .path = dir_.path() / "out" / (level + ".gguf")});
    }
    return request;
  }

  testing::TempDir dir_;
  const fs::path model_ = dir_.path() / "source.gguf";
};

TEST_F(ForecastTest, IsWhatTheJobThenMakes) {
  const auto forecast = ForecastQuantize(Request({"q4_k_m", "F16"}), 2);
  ASSERT_TRUE(forecast.ok()) << forecast.status();
  EXPECT_FALSE(fs::exists(dir_.path() / "out"));
  ASSERT_THAT(forecast->outputs, SizeIs(2));
  EXPECT_EQ(forecast->outputs[0].level, "Q4_K_M");
  uint64_t bytes = 0;
  for (const OutputForecast& output : forecast->outputs) {
    const auto made = testing::RunQuantize([&] {
      QuantizeRequest request = Request({output.level});
      request.outputs[0].path = output.files.at(0);
      return request;
    }());
    ASSERT_TRUE(made.ok()) << made.status();
    EXPECT_EQ(made->file_size_bytes, output.size_bytes);
    EXPECT_EQ(made->bits_per_weight, output.bits_per_weight);
    EXPECT_EQ(made->substitutions.size(), output.substitutions.size());
    bytes += output.size_bytes;
  }
  EXPECT_EQ(forecast->disk_needed_bytes, bytes);
  EXPECT_GT(forecast->disk_free_bytes, 0u);
  EXPECT_GT(forecast->memory_needed_bytes, 0u);
  EXPECT_GT(forecast->memory_available_bytes, 0u);
  EXPECT_THAT(forecast->warnings, IsEmpty());
}

TEST_F(ForecastTest, WarnsOfAnOutputThatIsThere) {
  QuantizeRequest request = Request({"Q8_0"});
  fs::create_directories(dir_.path() / "out");
  std::ofstream(request.outputs[0].path) << "something";
  auto forecast = ForecastQuantize(request, 1);
  ASSERT_TRUE(forecast.ok()) << forecast.status();
  EXPECT_THAT(forecast->warnings, Contains(HasSubstr("exists already")));
  request.overwrite = true;
  forecast = ForecastQuantize(request, 1);
  EXPECT_THAT(forecast->warnings, IsEmpty());
  request.outputs[0].path = model_;
  forecast = ForecastQuantize(request, 1);
  EXPECT_THAT(forecast->warnings, Contains(HasSubstr("would replace the model")));
}

TEST_F(ForecastTest, FailsAsTheJobWould) {
  EXPECT_EQ(ErrorOf(ForecastQuantize(Request({"Q9_9"}), 1).status()), Error::kInvalidArgument);
  fs::remove(model_);
  EXPECT_EQ(ErrorOf(ForecastQuantize(Request({"Q8_0"}), 1).status()), Error::kModelNotFound);
}

}  // namespace
}  // namespace quantized
