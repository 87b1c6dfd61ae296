// Conversions that quantize some linears anew: all others keep their codes and scales.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/error.h"
#include "core/base/thread_pool.h"
#include "core/pipeline/convert.h"
#include "core/pipeline/test_convert.h"
#include "kernels/types/half.h"
#include "tests/support/recording_sink.h"

namespace quantized {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::Contains;
using testing::ConvertTest;
using ::testing::HasSubstr;
using testing::RecordingSink;

constexpr PackedOptions kAwq4 = {.method = PackedMethod::kAwq, .group_size = 32};

class ConvertMixedTest : public ConvertTest {
 protected:
  // A GPTQ directory of 4 bits, its down projections of 8, with codes that 4 do not hold.
  void WriteWithWideDownProjections() {
    Write({Gptq(4), [](const std::string& module, QuantizedLinear& linear) {
             if (!module.ends_with("down_proj")) return;
             linear.bits = 8;
             std::ranges::fill(linear.zeros, 128);
             for (size_t i = 0; i < linear.codes.size(); ++i) {
               linear.codes[i] = static_cast<uint8_t>(i * 37);
             }
           }});
    EditConfig([](nlohmann::json& config) {
      config["quantization_config"]["dynamic"] = {{"+:.*down_proj", {{"bits", 8}}}};
    });
  }

  // The scales of a linear as bfloat16, one of them below all that float16 has.
  void MakeScaleTooSmall(const std::string& module) const {
    Rewrite([&](std::map<std::string, Stored>& tensors) {
      Stored& scales = tensors.at(module + ".scales");
      scales.dtype = "BF16";
      for (size_t at = 0; at < scales.bytes.size(); at += sizeof(uint16_t)) {
        uint16_t half;
        std::memcpy(&half, &scales.bytes[at], sizeof(half));
        half = kernels::F32ToBF16(at == 0 ? 1e-9f : kernels::F16ToF32(half));
        std::memcpy(&scales.bytes[at], &half, sizeof(half));
      }
    });
  }

  // A GGUF file with linears of `level` but for those of other types.
  void WriteGguf(const std::string& level, const std::vector<std::string>& types) {
    fs::remove_all(model_);
    testing::WriteDirectoryModel(model_, {});
    QuantizeRequest request = Request("gguf", level);
    request.conversion = {};
    request.gguf.pure = true;
    request.gguf.tensor_types = types;
    ThreadPool pool(2);
    RecordingSink sink;
    JobContext context{{}, sink, pool};
    ASSERT_TRUE(Quantize(request, context).status.ok());
  }
  QuantizeRequest FromGguf(const std::string& format) const {
    QuantizeRequest request = Request(format);
    request.model_path = gguf_;
    return request;
  }

  static QuantizeRequest Accepted(QuantizeRequest request) {
    request.conversion.may_requantize = true;
    return request;
  }

  // Of linears in the layers.
  static bool IsLinear(const std::string& name) {
    return name.starts_with("blk.") && name.find("norm") == std::string::npos;
  }

  // Linears have other values where their name holds `part`, and only there.
  static void ExpectOnlyChangedIn(std::string_view part, const Values& found,
                                  const Values& expected) {
    ASSERT_EQ(found.size(), expected.size());
    for (const auto& [name, values] : expected) {
      if (!IsLinear(name)) continue;
      EXPECT_EQ(found.at(name) != values, name.find(part) != std::string::npos) << name;
    }
  }
};

TEST_F(ConvertMixedTest, CodesOfFewBitsAreKept) {
  WriteWithWideDownProjections();
  ExpectError(
      Run(Request("awq")).status(), Error::kUnsupportedConversion,
      HasSubstr("codes of 8 bits become codes of 4: 3 of 21 linears, 20 % of their weights"));
  const QuantizeRequest request = Accepted(Request("awq"));
  const auto forecast = ForecastConvert(request, 2);
  ASSERT_TRUE(forecast.ok()) << forecast.status();
  const auto result = Run(request);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->fidelity, "requantized");
  // The forecast is of those that change, the result's mean of all.
  EXPECT_NEAR(*result->mean_module_error * 21 / 3, forecast->conversion->relative_error,
              0.3 * forecast->conversion->relative_error);
  ExpectOnlyChangedIn("ffn_down", UnpackedValues(folder_), UnpackedValues(model_));
  EXPECT_THAT(Contents(folder_ / "README.md"), HasSubstr("3 of 21 linears quantized anew"));
}

TEST_F(ConvertMixedTest, OneScaleThatIsNoFloat16ConcernsOneLinear) {
  Write({Gptq(4)});
  MakeScaleTooSmall("model.layers.1.mlp.up_proj");
  ExpectError(Run(Request("awq")).status(), Error::kUnsupportedConversion,
              HasSubstr("model.layers.1.mlp.up_proj has a scale that float16 does not hold: 1 of "
                        "21 linears, 7 % of their weights"));
  ASSERT_TRUE(Run(Accepted(Request("awq"))).ok());
  ExpectOnlyChangedIn("blk.1.ffn_up", UnpackedValues(folder_), UnpackedValues(model_));
}

TEST_F(ConvertMixedTest, BothReasonsAreTold) {
  WriteWithWideDownProjections();
  MakeScaleTooSmall("model.layers.2.self_attn.k_proj");
  const auto forecast = ForecastConvert(Request("awq"), 2);
  ASSERT_TRUE(forecast.ok()) << forecast.status();
  EXPECT_EQ(forecast->conversion->why,
            "codes of 8 bits become codes of 4; model.layers.2.self_attn.k_proj has a scale that "
            "float16 does not hold: 4 of 21 linears, 22 % of their weights");
}

// What is quantized anew takes the form of the others, whose zero points are anywhere. Version 1
// has no zero point 0, which the range of weights above 0 would have.
TEST_F(ConvertMixedTest, NewCodesHaveTheFormOfTheOthers) {
  const std::string module = "model.layers.1.mlp.up_proj";
  Write({kAwq4, [&](const std::string& name, QuantizedLinear& linear) {
           if (name != module) return;
           std::ranges::fill(linear.zeros, 1);
           for (uint8_t& code : linear.codes) code = std::max<uint8_t>(code, 1);
         }});
  MakeScaleTooSmall(module);
  const auto result = Run(Accepted(Request("gptq")));
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(QuantizationConfigOf(folder_)["sym"], false);
  EXPECT_EQ(QuantizationConfigOf(folder_)["checkpoint_format"], "gptq");
  ExpectOnlyChangedIn("blk.1.ffn_up", UnpackedValues(folder_), UnpackedValues(model_));
}

TEST_F(ConvertMixedTest, BlocksOfOneScaleAreKeptBesideOthers) {
  WriteGguf("Q4_0", {"blk.0.ffn_down=q4_1"});
  ExpectError(Run(FromGguf("gptq")).status(), Error::kUnsupportedConversion,
              HasSubstr("model.layers.0.mlp.down_proj.weight is Q4_1, which codes of 4 bits do not "
                        "hold: 1 of 21 linears, 7 % of their weights"));
  for (const char* format : {"gptq", "awq"}) {
    SCOPED_TRACE(format);
    const auto result = Run(Accepted(FromGguf(format)));
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->fidelity, "requantized");
    EXPECT_EQ(QuantizationConfigOf(folder_)["group_size"], 32);
    ExpectOnlyChangedIn("blk.0.ffn_down", UnpackedValues(folder_), GgufValues(gguf_));
  }
}

TEST_F(ConvertMixedTest, LinearsOf16BitsStayWhatTheyAre) {
  WriteGguf("Q4_0", {"attn_(q|k|v|output)=f16", "token_embd=f16", "^output.weight=f16"});
  for (const char* format : {"gptq", "awq"}) {
    SCOPED_TRACE(format);
    const auto result = Run(FromGguf(format));
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->fidelity, "exact");
    EXPECT_EQ(UnpackedValues(folder_), GgufValues(gguf_));
  }
  EXPECT_THAT(QuantizationConfigOf(folder_)["modules_to_not_convert"],
              Contains("model.layers.2.self_attn.o_proj"));
}

// Loaders make one linear of query, key and value, and want all of them quantized.
TEST_F(ConvertMixedTest, OneOf16BitsAmongOthersIsQuantized) {
  WriteGguf("Q4_0", {"attn_v=f16"});
  ExpectError(Run(FromGguf("gptq")).status(), Error::kUnsupportedConversion,
              AllOf(HasSubstr("v_proj.weight is F16"), HasSubstr("3 of 21 linears")));
  ASSERT_TRUE(Run(Accepted(FromGguf("gptq"))).ok());
  EXPECT_FALSE(QuantizationConfigOf(folder_).contains("dynamic"));
  ExpectOnlyChangedIn("attn_v", UnpackedValues(folder_), GgufValues(gguf_));
}

TEST_F(ConvertMixedTest, GoesOnWhereItWasStopped) {
  WriteWithWideDownProjections();
  ExpectGoesOnWhereItWasStopped(Accepted(Request("awq")));
}

}  // namespace
}  // namespace quantized
