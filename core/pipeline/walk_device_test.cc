// Jobs that run the model on a device, with the stand-in for the CUDA module of forward passes
// (tests/support/fake_forward_cuda_module.cc), so that all but the device itself is tested here.
#include "core/pipeline/walk_device.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/thread_pool.h"
#include "core/calibrate/importance_file.h"
#include "core/pipeline/calibrated_model.h"
#include "core/pipeline/forecast.h"
#include "core/pipeline/quantize_directory.h"
#include "core/pipeline/test_directory.h"
#include "tests/support/paths.h"
#include "tests/support/recording_sink.h"

namespace quantized {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using testing::RecordingSink;

constexpr const char* kMemory = "QUANTIZED_FAKE_FORWARD_MEMORY";
constexpr const char* kProducts = "QUANTIZED_FAKE_FORWARD_PRODUCTS";

std::string Contents(const fs::path& path) { return *ReadFile(path, uint64_t{1} << 32); }

class WalkDeviceTest : public ::testing::Test {
 protected:
  // Of this process: settings of one test are gone in the next.
  void SetUp() override {
    Set("QUANTIZED_CUDA_MODULE", testing::BinDir() / "libfake_cuda_module.so");
    Set("QUANTIZED_FORWARD_CUDA_MODULE", testing::BinDir() / "libfake_forward_cuda_module.so");
    testing::WriteDocuments(text_, 60);
  }
  void TearDown() override {
    for (const std::string& name : set_) unsetenv(name.c_str());
  }
  void Set(const std::string& name, const std::string& value) {
    setenv(name.c_str(), value.c_str(), 1);
    set_.push_back(name);
  }

  // Of AWQ or GPTQ.
  QuantizeRequest Request(const std::string& format, const std::string& device) {
    if (!fs::exists(model_)) testing::WriteDirectoryModel(model_, {.biases = true});
    QuantizeRequest request;
    request.model_path = model_;
    request.model_name = "./model";
    request.format = format;
    request.outputs = {{.level = "4bit", .path = OutputOf(device), .previous = {}}};
    request.calibration = {.data = text_, .name = "text.txt", .samples = 8, .sequence_length = 32};
    request.calibrated.group_size = 32;
    request.checkpoint.directory = dir_.path() / "checkpoints";
    request.device = device;
    return request;
  }
  // Of a GGUF level that needs an importance matrix.
  QuantizeRequest MatrixRequest(const std::string& device) {
    if (!fs::exists(model_)) {
      testing::WriteDirectoryModel(
          model_, {.layers = 2, .hidden = 256, .feed_forward = 256, .head_dim = 64});
    }
    QuantizeRequest request = Request("gguf", device);
    request.outputs[0].level = "IQ2_XXS";
    request.outputs[0].path += ".gguf";
    request.cache_directory = dir_.path() / "cache";
    request.gguf.imatrix_out = dir_.path() / (device + ".imatrix.gguf");
    return request;
  }
  fs::path OutputOf(const std::string& device) const { return dir_.path() / "out" / device; }

  absl::StatusOr<QuantizeResult> Run(const QuantizeRequest& request) {
    ThreadPool pool(3);
    JobContext context{{}, sink_, pool};
    const QuantizeOutcome outcome = request.format == "gguf"
                                        ? Quantize(request, context)
                                        : QuantizeToDirectory(request, context);
    if (!outcome.status.ok()) return outcome.status;
    return outcome.finished.front();
  }

  testing::TempDir dir_;
  RecordingSink sink_;
  const fs::path model_ = dir_.path() / "model";
  const fs::path text_ = dir_.path() / "text.txt";
  std::vector<std::string> set_;
};

TEST_F(WalkDeviceTest, IsChosenByWord) {
  const auto name_of = [&](std::string_view wanted) {
    const auto device = WalkDevice::Choose(wanted, sink_);
    return device.ok() ? device->name() : std::string(device.status().message());
  };
  EXPECT_EQ(name_of("cpu"), "cpu");
  EXPECT_EQ(name_of("auto"), "cuda:0 Processor");
  EXPECT_EQ(name_of("cuda:1"), "cuda:1 Processor");
  EXPECT_THAT(name_of("cuda:2"), HasSubstr("the devices are cuda:0 to cuda:1"));
  Set("QUANTIZED_FORWARD_CUDA_MODULE", "/nowhere/libquantized_forward_cuda.so");
  EXPECT_EQ(name_of("auto"), "cpu");
  EXPECT_THAT(sink_.warnings, IsEmpty());
  EXPECT_THAT(name_of("cuda"), AllOf(HasSubstr("device cuda:0 cannot be used: "),
                                     HasSubstr("/nowhere/libquantized_forward_cuda.so")));
}

TEST_F(WalkDeviceTest, GrowsWhereMoreIsNeeded) {
  testing::WriteDirectoryModel(model_, {});
  const auto model = OpenCalibratedModel(model_);
  ASSERT_TRUE(model.ok()) << model.status();
  auto device = WalkDevice::Choose("cuda", sink_);
  ASSERT_TRUE(device.ok()) << device.status();
  EXPECT_EQ(device->compute(), nullptr);
  ASSERT_TRUE(device->Open(model->config, 32, StatisticsKind::kGram, sink_).ok());
  const LayerCompute* first = device->compute();
  const uint64_t first_bytes = device->memory_bytes();
  ASSERT_NE(first, nullptr);
  ASSERT_TRUE(device->Open(model->config, 16, StatisticsKind::kNone, sink_).ok());
  EXPECT_EQ(device->compute(), first);
  ASSERT_TRUE(device->Open(model->config, 64, StatisticsKind::kNone, sink_).ok());
  EXPECT_GT(device->memory_bytes(), first_bytes);
  device->Close();
  EXPECT_EQ(device->compute(), nullptr);
  EXPECT_GT(device->memory_bytes(), first_bytes);
}

TEST_F(WalkDeviceTest, AwqAndGptqEndNearTheProcessors) {
  for (const char* format : {"awq", "gptq"}) {
    SCOPED_TRACE(format);
    fs::remove_all(dir_.path() / "out");
    const auto want = Run(Request(format, "cpu"));
    ASSERT_TRUE(want.ok()) << want.status();
    EXPECT_EQ(want->device, "cpu");
    EXPECT_EQ(want->device_memory_bytes, 0u);
    QuantizeRequest request = Request(format, "cuda:1");
    request.quality.is_wanted = true;
    const auto got = Run(request);
    ASSERT_TRUE(got.ok()) << got.status();
    EXPECT_EQ(got->device, "cuda:1 Processor");
    EXPECT_GT(got->device_memory_bytes, 0u);
    EXPECT_NEAR(*got->mean_module_error, *want->mean_module_error,
                0.02 * *want->mean_module_error);
    EXPECT_GT(got->quality->tokens, 0u);
    EXPECT_NE(got->fingerprint, want->fingerprint);
    EXPECT_THAT(sink_.warnings, Not(Contains(HasSubstr("on the processor"))));
  }
}

TEST_F(WalkDeviceTest, AnImportanceMatrixIsNearTheProcessors) {
  for (const char* device : {"cpu", "cuda"}) {
    QuantizeRequest request = MatrixRequest(device);
    request.quality.is_wanted = true;
    const auto result = Run(request);
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->device, std::string_view(device) == "cpu" ? "cpu" : "cuda:0 Processor");
  }
  const auto want = OpenImportanceFile(dir_.path() / "cpu.imatrix.gguf");
  const auto got = OpenImportanceFile(dir_.path() / "cuda.imatrix.gguf");
  ASSERT_TRUE(want.ok() && got.ok());
  ASSERT_EQ(got->entries.size(), want->entries.size());
  size_t differing = 0;
  for (const auto& [name, entry] : want->entries) {
    const ImportanceEntry& other = got->entries.at(name);
    EXPECT_EQ(other.counts, entry.counts);
    for (size_t i = 0; i < entry.sums.size(); ++i) {
      ASSERT_NEAR(other.sums[i], entry.sums[i], 1e-5 * entry.sums[i]) << name;
      if (other.sums[i] != entry.sums[i]) ++differing;
    }
  }
  // So the cache must not give the one for the other.
  EXPECT_GT(differing, 0u);
}

// Encoding needs less than the walk here: the highest use is the walk's.
TEST_F(WalkDeviceTest, AMatrixAloneTellsOfTheDevice) {
  Set("QUANTIZED_CUDA_MODULE", "/nowhere/libquantized_cuda.so");
  const auto result = Run(MatrixRequest("auto"));
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->device, "cuda:0 Processor");
  EXPECT_GT(result->device_memory_bytes, 0u);
}

TEST_F(WalkDeviceTest, TooLittleMemoryIsToldBeforeAnyWork) {
  Set(kMemory, "10000");
  for (const QuantizeRequest& request : {Request("gptq", "cuda"), Request("awq", "cuda")}) {
    const auto result = Run(request);
    ASSERT_FALSE(result.ok());
    EXPECT_EQ(ErrorOf(result.status()), Error::kOutOfMemory);
    EXPECT_THAT(std::string(result.status().message()),
                AllOf(HasSubstr("running the model needs "), HasSubstr(" of cuda:0 Processor, "),
                      HasSubstr(" is free")));
    EXPECT_FALSE(fs::exists(dir_.path() / "out"));
  }
}

TEST_F(WalkDeviceTest, TooLittleMemoryIsTheProcessorsWorkWhereNobodyAsked) {
  Set(kMemory, "10000");
  const auto result = Run(Request("gptq", "auto"));
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->device, "cpu");
  EXPECT_EQ(result->device_memory_bytes, 0u);
  EXPECT_THAT(sink_.warnings, Contains(HasSubstr("running the model on the processor: ")));
}

TEST_F(WalkDeviceTest, AfterAFailureTheSameCommandGoesOn) {
  for (const char* format : {"awq", "gptq"}) {
    SCOPED_TRACE(format);
    fs::remove_all(dir_.path() / "out");
    const fs::path weights = OutputOf("cuda") / "model.safetensors";
    ASSERT_TRUE(Run(Request(format, "cuda")).ok());
    const std::string want = Contents(weights);
    fs::remove_all(dir_.path() / "out");

    Set(kProducts, "150");  // in the second layer or later
    const auto failed = Run(Request(format, "cuda"));
    unsetenv(kProducts);
    ASSERT_FALSE(failed.ok());
    EXPECT_EQ(ErrorOf(failed.status()), Error::kInternal);
    EXPECT_THAT(std::string(failed.status().message()),
                HasSubstr("cuda:0 Processor failed: multiplying: unspecified launch failure"));
    EXPECT_THAT(SuggestionOf(failed.status()), HasSubstr("--device cpu"));
    EXPECT_FALSE(fs::exists(weights));

    const auto again = Run(Request(format, "cuda"));
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_GT(again->units_reused, 0u);
    EXPECT_TRUE(Contents(weights) == want);
  }
}

// Its layers would be of two kinds otherwise, and its bytes neither's.
TEST_F(WalkDeviceTest, AfterAFailureTheProcessorBeginsAnew) {
  QuantizeRequest request = Request("gptq", "cpu");
  ASSERT_TRUE(Run(request).ok());
  const fs::path weights = OutputOf("cpu") / "model.safetensors";
  const std::string want = Contents(weights);
  fs::remove_all(dir_.path() / "out");

  Set(kProducts, "150");
  request.device = "cuda";
  EXPECT_EQ(ErrorOf(Run(request).status()), Error::kInternal);
  request.device = "cpu";
  const auto again = Run(request);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->units_reused, 0u);
  EXPECT_TRUE(Contents(weights) == want);
}

TEST_F(WalkDeviceTest, AMatrixGoesOnWithTheSameDeviceAlone) {
  const auto count = [&](const std::string& line) {
    size_t times = 0;
    for (const std::string& message : sink_.messages) times += message.starts_with(line) ? 1 : 0;
    return times;
  };
  Set(kProducts, "100");
  const auto failed = Run(MatrixRequest("cuda"));
  unsetenv(kProducts);
  EXPECT_EQ(ErrorOf(failed.status()), Error::kInternal) << failed.status();
  ASSERT_TRUE(Run(MatrixRequest("cpu")).ok());
  ASSERT_TRUE(Run(MatrixRequest("cuda")).ok());
  EXPECT_EQ(count("Measuring importance"), 3u);
  QuantizeRequest other = MatrixRequest("cuda:1");
  ASSERT_TRUE(Run(other).ok());
  EXPECT_EQ(count("Measuring importance"), 3u);
  EXPECT_EQ(count("Importance matrix: measured before"), 1u);
}

TEST_F(WalkDeviceTest, APlanIsMadeWithTheDevice) {
  const auto forecast = ForecastToDirectory(Request("awq", "cuda"), 2);
  ASSERT_TRUE(forecast.ok()) << forecast.status();
  ASSERT_TRUE(forecast->walk.has_value());
  EXPECT_GT(forecast->walk->seconds, 0);
  EXPECT_GT(forecast->walk->device_memory_bytes, 0u);
  Set(kProducts, "0");
  EXPECT_EQ(ErrorOf(ForecastToDirectory(Request("awq", "cuda"), 2).status()), Error::kInternal);
  const auto on_processor = ForecastToDirectory(Request("awq", "cpu"), 2);
  ASSERT_TRUE(on_processor.ok() && on_processor->walk.has_value());
  EXPECT_EQ(on_processor->walk->device_memory_bytes, 0u);
}

}  // namespace
}  // namespace quantized
