// Jobs on a device, with the stand-in for the CUDA module (tests/support/fake_cuda_module.cc): it
// runs the code of the kernels on the processor, so all but the device itself is tested here.
#include "core/pipeline/encode_device.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/thread_pool.h"
#include "core/pipeline/quantize.h"
#include "tests/support/paths.h"
#include "tests/support/recording_sink.h"
#include "tests/support/synthetic_model.h"

namespace quantized {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::string Contents(const fs::path& path) { return *ReadFile(path, uint64_t{1} << 32); }

class EncodeDeviceTest : public ::testing::Test {
 protected:
  // Of this process: settings of one test are gone in the next.
  void SetUp() override {
    Set("QUANTIZED_CUDA_MODULE", testing::BinDir() / "libfake_cuda_module.so");
  }
  void TearDown() override {
    for (const std::string& name : set_) unsetenv(name.c_str());
  }
  void Set(const std::string& name, const std::string& value) {
    setenv(name.c_str(), value.c_str(), 1);
    set_.push_back(name);
  }

  absl::StatusOr<EncodeDevice> Choose(std::string_view wanted) {
    return EncodeDevice::Choose(wanted, sink_);
  }
  std::string NameOf(std::string_view wanted) {
    const absl::StatusOr<EncodeDevice> device = Choose(wanted);
    return device.ok() ? device->name() : std::string(device.status().message());
  }

  void WriteModel(kernels::TypeId type) {
    const absl::Status status = testing::WriteSyntheticModel(
        model_,
        {.layers = 2, .hidden = 256, .feed_forward = 1024, .vocabulary = 1500, .type = type});
    ASSERT_TRUE(status.ok()) << status;
  }

  QuantizeRequest Request(const std::string& device, const std::vector<std::string>& levels) {
    QuantizeRequest request;
    request.model_path = model_;
    request.model_name = "./source.gguf";
    for (const std::string& level : levels) {
      request.outputs.push_back({.level = level, .path = OutputOf(device, level), .previous = {}});
    }
    request.checkpoint.enabled = false;
    request.device = device;
    return request;
  }
  fs::path OutputOf(const std::string& device, const std::string& level) const {
    return dir_.path() / device / (level + ".gguf");
  }

  QuantizeOutcome Run(const QuantizeRequest& request) {
    ThreadPool pool(3);
    JobContext context{{}, sink_, pool};
    return Quantize(request, context);
  }

  testing::TempDir dir_;
  testing::RecordingSink sink_;
  const fs::path model_ = dir_.path() / "source.gguf";
  std::vector<std::string> set_;
};

TEST_F(EncodeDeviceTest, IsChosenByWord) {
  EXPECT_EQ(NameOf("cpu"), "cpu");
  EXPECT_EQ(NameOf("auto"), "cuda:0 Processor");
  EXPECT_EQ(NameOf(""), "cuda:0 Processor");
  EXPECT_EQ(NameOf("cuda"), "cuda:0 Processor");
  EXPECT_EQ(NameOf("cuda:1"), "cuda:1 Processor");
  EXPECT_THAT(NameOf("cuda:2"), HasSubstr("the devices are cuda:0 to cuda:1"));
  for (const char* word :
       {"gpu", "cuda:", "cuda:x", "cuda:-1", "cuda:99999999999", "CUDA", "cuda1"}) {
    const absl::StatusOr<EncodeDevice> device = Choose(word);
    ASSERT_FALSE(device.ok()) << word;
    EXPECT_EQ(ErrorOf(device.status()), Error::kInvalidArgument);
    EXPECT_THAT(SuggestionOf(device.status()), HasSubstr("cuda:N"));
  }
}

TEST_F(EncodeDeviceTest, WithoutAModuleIsTheProcessorUnlessAsked) {
  Set("QUANTIZED_CUDA_MODULE", "/nowhere/libquantized_cuda.so");
  EXPECT_EQ(NameOf("auto"), "cpu");
  EXPECT_THAT(sink_.warnings, IsEmpty());
  const absl::StatusOr<EncodeDevice> device = Choose("cuda");
  ASSERT_FALSE(device.ok());
  EXPECT_EQ(ErrorOf(device.status()), Error::kInvalidArgument);
  EXPECT_THAT(device.status().message(), HasSubstr("device cuda:0 cannot be used: "));
  EXPECT_THAT(device.status().message(), HasSubstr("/nowhere/libquantized_cuda.so"));
  EXPECT_THAT(SuggestionOf(device.status()), HasSubstr("--device auto or cpu"));
}

TEST_F(EncodeDeviceTest, GivesTheProcessorsBytes) {
  for (const kernels::TypeId type :
       {kernels::TypeId::kF32, kernels::TypeId::kF16, kernels::TypeId::kBF16}) {
    SCOPED_TRACE(kernels::QuantTypeOf(type).name);
    WriteModel(type);
    const std::vector<std::string> levels = {"Q4_K_M", "Q8_0"};
    for (const char* device : {"cpu", "cuda:1"}) {
      fs::remove_all(dir_.path() / device);
      const QuantizeOutcome outcome = Run(Request(device, levels));
      ASSERT_TRUE(outcome.status.ok()) << outcome.status;
      const bool is_cpu = std::string_view(device) == "cpu";
      for (const QuantizeResult& result : outcome.finished) {
        EXPECT_EQ(result.device, is_cpu ? "cpu" : "cuda:1 Processor");
        EXPECT_EQ(result.device_memory_bytes == 0, is_cpu);
      }
    }
    for (const std::string& level : levels) {
      EXPECT_TRUE(Contents(OutputOf("cpu", level)) == Contents(OutputOf("cuda:1", level))) << level;
    }
  }
}

// F16 of a BF16 model: no type of the device.
TEST_F(EncodeDeviceTest, IsNotOpenedForTypesThatItLacks) {
  WriteModel(kernels::TypeId::kBF16);
  Set("QUANTIZED_FAKE_CUDA_MEMORY", "0");
  const QuantizeOutcome outcome = Run(Request("cuda", {"F16"}));
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_EQ(outcome.finished[0].device, "cpu");
  EXPECT_EQ(outcome.finished[0].device_memory_bytes, 0u);
}

TEST_F(EncodeDeviceTest, TooLittleMemoryIsToldBeforeAnyWork) {
  WriteModel(kernels::TypeId::kBF16);
  Set("QUANTIZED_FAKE_CUDA_MEMORY", "1000000");
  const QuantizeOutcome outcome = Run(Request("cuda", {"Q8_0"}));
  ASSERT_FALSE(outcome.status.ok());
  EXPECT_EQ(ErrorOf(outcome.status), Error::kOutOfMemory);
  EXPECT_THAT(
      outcome.status.message(),
      HasSubstr("encoding with 3 threads needs 2.4 MB of cuda:0 Processor, 1.0 MB is free"));
  EXPECT_FALSE(fs::exists(dir_.path() / "cuda"));
}

TEST_F(EncodeDeviceTest, TooLittleMemoryIsTheProcessorsWorkWhereNobodyAsked) {
  WriteModel(kernels::TypeId::kBF16);
  Set("QUANTIZED_FAKE_CUDA_MEMORY", "1000000");
  const QuantizeOutcome outcome = Run(Request("auto", {"Q8_0"}));
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_EQ(outcome.finished[0].device, "cpu");
  EXPECT_THAT(sink_.warnings, ElementsAre(HasSubstr("encoding on the processor: ")));
}

TEST_F(EncodeDeviceTest, AFailedDeviceIsAClearError) {
  WriteModel(kernels::TypeId::kBF16);
  Set("QUANTIZED_FAKE_CUDA_ENCODES", "0");
  const QuantizeOutcome outcome = Run(Request("auto", {"Q8_0"}));
  ASSERT_FALSE(outcome.status.ok());
  EXPECT_EQ(ErrorOf(outcome.status), Error::kInternal);
  EXPECT_THAT(outcome.status.message(),
              HasSubstr("cuda:0 Processor failed: waiting for the device"));
  EXPECT_THAT(outcome.status.message(), HasSubstr("tensor "));
  EXPECT_THAT(SuggestionOf(outcome.status), HasSubstr("--device cpu"));
}

}  // namespace
}  // namespace quantized
