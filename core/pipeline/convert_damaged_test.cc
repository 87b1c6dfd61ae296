// Models that are not what they must be: no conversion of them is valid, and `info --verify` says
// so.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/thread_pool.h"
#include "core/pipeline/convert.h"
#include "core/pipeline/model_check.h"
#include "core/pipeline/test_convert.h"
#include "kernels/types/half.h"

namespace quantized {
namespace {

using ::testing::AllOf;
using testing::ConvertTest;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

class ConvertDamagedTest : public ConvertTest {
 protected:
  using Tensors = std::map<std::string, Stored>;

  // In no conversion, naming the folder once.
  void ExpectRefused(const std::string& message) {
    for (const char* format : {"awq", "gguf"}) {
      SCOPED_TRACE(format);
      const absl::Status status = Run(Request(format)).status();
      ExpectError(status, Error::kValidationFailed,
                  AllOf(StartsWith(model_.string()), HasSubstr(message)));
      EXPECT_THAT(SuggestionOf(status), Not(IsEmpty()));
    }
  }
  void ExpectUnsound(const std::string& message) {
    ThreadPool threads(2);
    ExpectError(VerifyModel(model_, threads).status(), Error::kValidationFailed,
                HasSubstr(message));
  }

  // Every value of a tensor of 16 bits.
  static void Fill(Stored& tensor, uint16_t value) {
    for (size_t at = 0; at < tensor.bytes.size(); at += sizeof(value)) {
      std::memcpy(&tensor.bytes[at], &value, sizeof(value));
    }
  }

  static constexpr const char* kModule = "model.layers.1.self_attn.q_proj";
};

TEST_F(ConvertDamagedTest, ALinearWithoutCodesIsNoLinear) {
  Write({Gptq(4)});
  Rewrite([](Tensors& tensors) { tensors.erase(std::string(kModule) + ".qweight"); });
  const std::string message = std::string("tensor ") + kModule + ".qweight: missing, found g_idx";
  ExpectRefused(message);
  ExpectUnsound(message);
}

TEST_F(ConvertDamagedTest, TensorsThatTheArchitectureNeedsAreMissed) {
  for (const char* missing : {kModule, "model.embed_tokens"}) {
    SCOPED_TRACE(missing);
    Write({Gptq(4)});
    Rewrite([&](Tensors& tensors) {
      std::erase_if(tensors, [&](const auto& entry) { return entry.first.starts_with(missing); });
    });
    const std::string message = std::string("tensor ") + missing +
                                ".weight: expected by config.json (3 layers), found in no file";
    ExpectRefused(message);
    ExpectUnsound(message);
  }
  std::filesystem::remove_all(model_);
  testing::WriteDirectoryModel(model_, {});
  Rewrite([&](Tensors& tensors) { tensors.erase("model.norm.weight"); });
  ExpectUnsound("tensor model.norm.weight: expected by config.json");
}

TEST_F(ConvertDamagedTest, ExpertsAreMissedToo) {
  Write({Gptq(4)}, {.layers = 2, .experts = 3});
  const std::string module = "model.layers.1.block_sparse_moe.experts.2.w3";
  Rewrite([&](Tensors& tensors) {
    std::erase_if(tensors, [&](const auto& entry) { return entry.first.starts_with(module); });
  });
  const std::string message = module + ".weight: expected by config.json (2 layers of 3 experts)";
  ExpectRefused(message);
  ExpectUnsound(message);
}

// Of an architecture that is not known nothing is known to be missing.
TEST_F(ConvertDamagedTest, OtherArchitecturesAreConvertedAsTheyAre) {
  Write({Gptq(4)});
  EditConfig([](nlohmann::json& config) { config["architectures"] = {"FooForCausalLM"}; });
  Rewrite([](Tensors& tensors) { tensors.erase("model.norm.weight"); });
  EXPECT_TRUE(Run(Request("awq")).ok());
  ExpectError(Run(Request("gguf")).status(), Error::kUnsupportedConversion,
              HasSubstr("architectures: found FooForCausalLM, which has no form in gguf here"));
  EditConfig([](nlohmann::json& config) { config.erase("architectures"); });
  ExpectError(Run(Request("gguf")).status(), Error::kUnsupportedConversion,
              HasSubstr("architectures: found nothing, expected one that has a form in gguf"));
}

TEST_F(ConvertDamagedTest, ValuesThatAreNoNumbersAreNotCopied) {
  Write({Gptq(4)});
  Rewrite([](Tensors& tensors) { Fill(tensors.at("model.norm.weight"), 0x7E00); });
  ExpectError(Run(Request("awq")).status(), Error::kValidationFailed,
              AllOf(StartsWith(model_.string()),
                    HasSubstr("model.norm.weight: holds values that are no finite numbers")));
  EXPECT_FALSE(Exists(folder_));
  ExpectUnsound("model.norm.weight: holds values that are no finite numbers");
}

// Loaders take the result as float16, as its configuration says.
TEST_F(ConvertDamagedTest, ValuesBeyondFloat16AreNotCopied) {
  Write({Gptq(4)});
  for (const float value : {99840.0f, 65280.0f}) {
    Rewrite([&](Tensors& tensors) {
      Stored& norm = tensors.at("model.norm.weight");
      norm.dtype = "BF16";
      Fill(norm, kernels::F32ToBF16(value));
    });
    const absl::Status status = Run(Request("awq")).status();
    if (value < 65504) {
      EXPECT_TRUE(status.ok()) << status;
      continue;
    }
    ExpectError(status, Error::kValidationFailed,
                HasSubstr("model.norm.weight: found 99840, expected values that float16 can hold"));
    EXPECT_THAT(SuggestionOf(status), HasSubstr("Convert to gguf"));
    EXPECT_TRUE(Run(Request("gguf")).ok());
  }
}

TEST_F(ConvertDamagedTest, PackingIsNeverGuessed) {
  Write({Gptq(4)});
  EditConfig([](nlohmann::json& config) { config.erase("quantization_config"); });
  ExpectRefused("found no quantization_config in config.json and no quantize_config.json");
  ExpectUnsound("found no quantization_config in config.json");
  const std::filesystem::path beside = model_ / "quantize_config.json";
  ASSERT_TRUE(WriteFileAtomically(beside, R"({"bits": 4, "group_size": )").ok());
  ExpectRefused(beside.string() + ": expected JSON, found bad syntax");
  ASSERT_TRUE(WriteFileAtomically(beside, R"({"bits": 4, "group_size": 32})").ok());
  EXPECT_TRUE(Run(Request("awq")).ok());
}

}  // namespace
}  // namespace quantized
