#include "core/hf/quantization.h"

#include <string>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/hf/config.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/paths.h"

namespace quantized {
namespace {

using nlohmann::json;

class QuantizationTest : public ::testing::Test {
 protected:
  void Write(const std::string& name, std::string_view text) {
    ASSERT_TRUE(WriteFileAtomically(folder_.path() / name, text).ok());
  }
  std::optional<HfQuantization> Read() {
    const auto config = HfConfig::Read(folder_.path());
    EXPECT_TRUE(config.ok()) << config.status();
    return config->quantization();
  }

  const testing::TempDir folder_;
};

TEST_F(QuantizationTest, ConfigNamesTheMethod) {
  struct Case {
    const char *config, *method;
  };
  for (const auto& [config, method] : {
           Case{R"({"quantization_config": {"quant_method": "GPTQ"}})", "gptq"},
           Case{R"({"quantization_config": {"quant_method": "fp8"}})", "fp8"},
           Case{R"({"quantization_config": {"bits": 4}})", "gptq"},
           Case{R"({"quantization_config": {"load_in_4bit": true}})", "bitsandbytes"},
           Case{R"({"quantization_config": {"load_in_8bit": true}})", "bitsandbytes"},
           Case{R"({"quantization_config": {"quant_method": 7}})", ""},
           Case{R"({"quantization_config": []})", ""},
           Case{R"({"compression_config": {"format": "x"}})", "compressed-tensors"},
           Case{R"({"text_config": {"quantization_config": {"quant_method": "awq"}}})", "awq"},
       }) {
    SCOPED_TRACE(config);
    Write("config.json", config);
    const auto quantization = Read();
    ASSERT_TRUE(quantization.has_value());
    EXPECT_EQ(quantization->method, method);
    EXPECT_FALSE(quantization->is_beside);
  }
  EXPECT_EQ(QuantizationIn(json{{"quantization_config", {{"bits", 4}}}})->place,
            "config.json: quantization_config");
  EXPECT_FALSE(QuantizationIn(json{{"quantization_config", nullptr}}).has_value());
}

TEST_F(QuantizationTest, OlderProgramsWroteAFileBesideIt) {
  Write("config.json", "{}");
  EXPECT_FALSE(Read().has_value());
  Write("quant_config.json", R"({"w_bit": 4, "q_group_size": 128, "version": "GEMM"})");
  ASSERT_TRUE(Read().has_value());
  EXPECT_EQ(Read()->method, "awq");
  EXPECT_EQ(Read()->place, "quant_config.json");
  EXPECT_TRUE(Read()->is_beside);
  Write("quantize_config.json", R"({"bits": 4, "group_size": 128, "desc_act": false})");
  EXPECT_EQ(Read()->method, "gptq");
  EXPECT_EQ(Read()->fields["group_size"], 128);
  Write("config.json", R"({"quantization_config": {"quant_method": "fp8"}})");
  EXPECT_EQ(Read()->method, "fp8");
}

TEST_F(QuantizationTest, FilesOfOtherToolsAreNoneOfTheirs) {
  Write("config.json", "{}");
  for (const char* text : {"[]", "{}", R"({"modes": ["fp16", "q8"], "bits": 4})",
                           R"({"per_channel": true, "reduce_range": true})",
                           R"({"bits": "4", "group_size": "128"})"}) {
    Write("quantize_config.json", text);
    EXPECT_FALSE(Read().has_value()) << text;
  }
}

// Passed over, packed weights would be taken for the model's own.
TEST_F(QuantizationTest, AFileThatIsNoJsonIsAnError) {
  Write("config.json", "{}");
  Write("quantize_config.json", R"({"bits": 4, )");
  const absl::Status status = HfConfig::Read(folder_.path()).status();
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(ErrorOf(status), Error::kValidationFailed);
  EXPECT_THAT(std::string(status.message()),
              ::testing::StartsWith((folder_.path() / "quantize_config.json").string()));
  EXPECT_THAT(SuggestionOf(status), ::testing::HasSubstr("Mend the file"));
  Write("config.json", R"({"quantization_config": {"quant_method": "fp8"}})");
  EXPECT_EQ(Read()->method, "fp8");
}

}  // namespace
}  // namespace quantized
