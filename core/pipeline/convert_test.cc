#include "core/pipeline/convert.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/error.h"
#include "core/pipeline/conversion.h"
#include "core/pipeline/test_convert.h"
#include "core/source/model_source.h"
#include "kernels/types/quant_type.h"
#include "tests/support/recording_sink.h"

namespace quantized {
namespace {

namespace fs = std::filesystem;
using kernels::TypeId;
using ::testing::AllOf;
using ::testing::Contains;
using testing::ConvertTest;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::RecordingSink;

constexpr PackedOptions kAwq4 = {.method = PackedMethod::kAwq, .group_size = 32};

std::map<TypeId, int> TypesOf(const fs::path& file) {
  std::map<TypeId, int> types;
  const auto source = *OpenModelSource(file, {});
  for (const SourceTensor& tensor : source->tensors()) ++types[tensor.type];
  return types;
}

struct ExactCase {
  PackedOptions options;
  std::string level;
  TypeId type;
};

TEST_F(ConvertTest, ToGgufKeepsEveryWeightByDefault) {
  for (const ExactCase& one : {ExactCase{Gptq(4), "Q4_0", TypeId::kQ4_0},
                               {Gptq(3), "Q4_0", TypeId::kQ4_0},
                               {Gptq(2), "Q4_0", TypeId::kQ4_0},
                               {Gptq(4, true, -1), "Q4_0", TypeId::kQ4_0},
                               {Gptq(8), "Q8_0", TypeId::kQ8_0},
                               {Gptq(4, false), "Q5_0", TypeId::kQ5_0},
                               {kAwq4, "Q5_0", TypeId::kQ5_0}}) {
    SCOPED_TRACE(QuantizationConfig(one.options).dump());
    Write({one.options}, {.biases = true});
    const auto result = Run(Request("gguf"));
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->level, one.level);
    EXPECT_EQ(result->fidelity, "exact");
    EXPECT_EQ(GgufValues(gguf_), UnpackedValues(model_));
    const auto types = TypesOf(gguf_);
    EXPECT_EQ(types.at(one.type), 21);          // linears of three layers
    EXPECT_EQ(types.at(TypeId::kF16), 2);       // embedding and head, as they are stored
    EXPECT_EQ(types.at(TypeId::kF32), 7 + 12);  // norms, biases
  }
}

TEST_F(ConvertTest, StacksOfExpertsAreExactToo) {
  Write({Gptq(4)}, {.layers = 2, .experts = 3});
  ASSERT_TRUE(Run(Request("gguf")).ok());
  EXPECT_EQ(GgufValues(gguf_), UnpackedValues(model_));
  EXPECT_EQ(TypesOf(gguf_).at(TypeId::kQ4_0), 2 * (4 + 3));
}

TEST_F(ConvertTest, Q4_1RoundsMinimaOnly) {
  Write({kAwq4});
  const auto result = Run(Request("gguf", "q4_1"));
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->fidelity, "rounded");
  const Values found = GgufValues(gguf_), expected = UnpackedValues(model_);
  ASSERT_EQ(found.size(), expected.size());
  double error = 0, norm = 0;
  for (const auto& [name, values] : expected) {
    for (size_t i = 0; i < values.size(); ++i) {
      error += std::pow(double{found.at(name)[i]} - values[i], 2);
      norm += std::pow(double{values[i]}, 2);
    }
  }
  EXPECT_LT(std::sqrt(error / norm), 1e-4);
}

TEST_F(ConvertTest, ALevelOfOtherGridsHasToBeAccepted) {
  Write({Gptq(4)});
  QuantizeRequest request = Request("gguf", "Q5_1");
  ExpectError(Run(request).status(), Error::kUnsupportedConversion,
              AllOf(HasSubstr("gptq 4bit"), HasSubstr("gguf Q5_1"), HasSubstr("quantized anew")));
  EXPECT_FALSE(fs::exists(gguf_.parent_path()));
  const auto forecast = ForecastConvert(request, 2);
  ASSERT_TRUE(forecast.ok()) << forecast.status();
  EXPECT_EQ(forecast->conversion->fidelity, "requantized");
  EXPECT_GT(forecast->conversion->relative_error, 1e-5);
  EXPECT_LT(forecast->conversion->relative_error, 1e-2);
  request.conversion.may_requantize = true;
  const auto result = Run(request);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->fidelity, "requantized");
  EXPECT_EQ(result->original_dtype, "gptq 4bit");
  EXPECT_GT(TypesOf(gguf_).at(TypeId::kQ5_1), 0);
}

TEST_F(ConvertTest, LevelsThatNeedTextAreRefused) {
  Write({Gptq(4)});
  ExpectError(ForecastConvert(Request("gguf", "IQ2_XXS"), 2).status(),
              Error::kUnsupportedConversion, HasSubstr("needs an importance matrix"));
}

// The way there and back gives the same files of weights.
TEST_F(ConvertTest, BetweenDirectoriesNothingIsLost) {
  struct Case {
    PackedOptions options;
    std::string there, back;
  };
  for (const Case& one :
       {Case{Gptq(4), "awq", "gptq"}, {Gptq(4, false), "awq", "gptq"}, {kAwq4, "gptq", "awq"}}) {
    SCOPED_TRACE(QuantizationConfig(one.options).dump());
    Write({one.options}, {.biases = true});
    const auto there = Run(Request(one.there));
    ASSERT_TRUE(there.ok()) << there.status();
    EXPECT_EQ(there->fidelity, "exact");
    EXPECT_EQ(there->format, one.there);
    EXPECT_EQ(UnpackedValues(folder_), UnpackedValues(model_));
    QuantizeRequest request = Request(one.back);
    request.model_path = folder_;
    request.outputs[0].path = dir_.path() / "back";
    ASSERT_TRUE(Run(request).ok());
    // Layers are in order there.
    request.model_path = dir_.path() / "back";
    request.format = one.there;
    request.outputs[0].path = dir_.path() / "again";
    ASSERT_TRUE(Run(request).ok());
    EXPECT_EQ(Contents(folder_ / "model.safetensors"),
              Contents(dir_.path() / "again" / "model.safetensors"));
    EXPECT_EQ(UnpackedValues(dir_.path() / "back"), UnpackedValues(model_));
    for (const char* file : {"tokenizer.json", "tokenizer_config.json", "generation_config.json"}) {
      EXPECT_EQ(Contents(folder_ / file), Contents(model_ / file)) << file;
    }
  }
}

TEST_F(ConvertTest, ProgramsThatWillNotLoadTheResultAreNamed) {
  Write({kAwq4});
  RecordingSink asymmetric;
  ASSERT_TRUE(Run(Request("gptq"), asymmetric).ok());
  EXPECT_THAT(asymmetric.warnings,
              ElementsAre("vLLM will not load the result: takes symmetric quantization only"));
  Write({Gptq(4)});
  RecordingSink symmetric;
  ASSERT_TRUE(Run(Request("awq"), symmetric).ok());
  EXPECT_THAT(symmetric.warnings, IsEmpty());
}

TEST_F(ConvertTest, ZeroPointZeroTakesVersion2) {
  Write({kAwq4});
  ASSERT_TRUE(Run(Request("gptq")).ok());
  EXPECT_EQ(QuantizationConfigOf(folder_)["checkpoint_format"], "gptq");
  EXPECT_EQ(QuantizationConfigOf(folder_)["sym"], false);
  Write({kAwq4, [](const std::string&, QuantizedLinear& linear) { linear.zeros[1] = 0; }});
  ASSERT_TRUE(Run(Request("gptq")).ok());
  EXPECT_EQ(QuantizationConfigOf(folder_)["checkpoint_format"], "gptq_v2");
  EXPECT_EQ(UnpackedValues(folder_), UnpackedValues(model_));
}

TEST_F(ConvertTest, MoreBitsHoldFewer) {
  Write({kAwq4});
  const auto wider = Run(Request("gptq", "8bit"));
  ASSERT_TRUE(wider.ok()) << wider.status();
  EXPECT_EQ(wider->fidelity, "exact");
  EXPECT_EQ(QuantizationConfigOf(folder_)["sym"], true) << "which loaders prefer";
  EXPECT_EQ(UnpackedValues(folder_), UnpackedValues(model_));
  Write({Gptq(3)});
  ASSERT_TRUE(Run(Request("awq")).ok());
  EXPECT_EQ(UnpackedValues(folder_), UnpackedValues(model_));
}

TEST_F(ConvertTest, FewerBitsAreQuantizedAnew) {
  Write({Gptq(8)});
  QuantizeRequest request = Request("awq");
  ExpectError(Run(request).status(), Error::kUnsupportedConversion,
              HasSubstr("codes of 8 bits become codes of 4"));
  const auto forecast = ForecastConvert(request, 2);
  ASSERT_TRUE(forecast.ok()) << forecast.status();
  EXPECT_GT(forecast->conversion->relative_error, 1e-4);
  request.conversion.may_requantize = true;
  const auto result = Run(request);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_NEAR(*result->mean_module_error, forecast->conversion->relative_error,
              0.3 * *result->mean_module_error);
}

TEST_F(ConvertTest, GroupsByActivationsSayWhatIsPossible) {
  PackedOptions options = Gptq(4);
  options.desc_act = true;
  Write({options, [](const std::string&, QuantizedLinear& linear) {
           for (size_t i = 0; i < linear.in; ++i) {
             linear.group_of.push_back(static_cast<uint32_t>(i % linear.groups()));
           }
         }});
  for (const char* format : {"gguf", "awq"}) {
    const absl::Status status = Run(Request(format)).status();
    ExpectError(status, Error::kUnsupportedConversion,
                AllOf(HasSubstr("model.layers.0."), HasSubstr("act-order")));
    EXPECT_THAT(SuggestionOf(status), HasSubstr("-q Q8_0"));
  }
  QuantizeRequest request = Request("gguf", "Q8_0");
  request.conversion.may_requantize = true;
  const auto result = Run(request);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->fidelity, "requantized");
}

TEST_F(ConvertTest, WhatIsNotQuantizedIsForQuantize) {
  testing::WriteDirectoryModel(model_, {});
  const absl::Status status = Run(Request("gguf")).status();
  ExpectError(status, Error::kUnsupportedConversion, HasSubstr("is not quantized"));
  EXPECT_THAT(SuggestionOf(status), HasSubstr("llm-quantize quantize"));
  QuantizeRequest to_float = Request("gguf", "F16");
  to_float.conversion = {};
  ThreadPool pool(2);
  RecordingSink sink;
  JobContext context{{}, sink, pool};
  ASSERT_TRUE(Quantize(to_float, context).status.ok());
  QuantizeRequest request = Request("awq");
  request.model_path = gguf_;
  ExpectError(Run(request).status(), Error::kUnsupportedConversion, HasSubstr("is not quantized"));
  request.model_path = dir_.path() / "nothing";
  EXPECT_EQ(ErrorOf(Run(request).status()), Error::kModelNotFound);
}

TEST_F(ConvertTest, APairThatIsNoneIsRefused) {
  Write({Gptq(4)});
  ExpectError(Run(Request("gptq")).status(), Error::kUnsupportedConversion,
              HasSubstr("is in format gptq already"));
}

TEST_F(ConvertTest, RoutersAreListedAsNotConverted) {
  Write({Gptq(4)}, {.layers = 2, .experts = 2});
  ASSERT_TRUE(Run(Request("awq")).ok());
  EXPECT_THAT(
      QuantizationConfigOf(folder_)["modules_to_not_convert"],
      ElementsAre("model.layers.0.block_sparse_moe.gate", "model.layers.1.block_sparse_moe.gate"));
  EXPECT_EQ(UnpackedValues(folder_), UnpackedValues(model_));
}

TEST_F(ConvertTest, LinearsOutsideLayersAreListedAsNotConvertedToo) {
  Write({.options = kAwq4,
         .more = {{"multi_modal_projector.linear_1.weight", {4, 4}},
                  {"vision_tower.patch.weight", {4, 4, 2, 2}},
                  {"vision_tower.layers.0.fc.weight", {4, 4}}}});
  ASSERT_TRUE(Run(Request("gptq")).ok());
  const nlohmann::json config = QuantizationConfigOf(folder_);
  EXPECT_TRUE(config["dynamic"].contains("-:^multi_modal_projector\\.linear_1$")) << config;
  EXPECT_TRUE(config["dynamic"].contains("-:^vision_tower\\.layers\\.0\\.fc$")) << config;
  EXPECT_EQ(config["dynamic"].size(), 2u);
}

// What a name says is no number of layers.
TEST_F(ConvertTest, ANumberInANameCostsNothing) {
  Write({.options = Gptq(4), .more = {{"extra.4000000000.bias", {4}}}});
  const auto result = Run(Request("awq"));
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->layers_processed, 3u + 1);
}

TEST_F(ConvertTest, WhatTheOtherFormatCannotHoldIsRefusedBeforeAnyWork) {
  const auto expect_refused = [&](const std::string& format, const std::string& message) {
    const absl::Status status = Run(Request(format)).status();
    ExpectError(status, Error::kUnsupportedConversion, HasSubstr(message));
    EXPECT_THAT(SuggestionOf(status), HasSubstr("Convert to gguf"));
    EXPECT_FALSE(fs::exists(folder_.string() + ".part"));
  };
  Write({Gptq(4)});
  nlohmann::json config = nlohmann::json::parse(Contents(model_ / "config.json"));
  config["quantization_config"]["group_size"] = 64;
  config["quantization_config"]["dynamic"] = {{"+:model.*", {{"group_size", 32}}}};
  std::ofstream(model_ / "config.json") << config;
  const auto one_size = Run(Request("awq"));
  ASSERT_TRUE(one_size.ok()) << one_size.status();
  EXPECT_EQ(QuantizationConfigOf(folder_)["group_size"], 32) << "as all linears have it";
  EXPECT_EQ(UnpackedValues(folder_), UnpackedValues(model_));
  fs::remove_all(folder_);

  Write({Gptq(4), [](const std::string& module, QuantizedLinear& linear) {
           if (module != "model.layers.1.mlp.up_proj") return;
           linear.group_of.clear();
           linear.group_size = linear.in;
           linear.scales = Matrix(linear.out, 1);
           std::ranges::fill(linear.scales.values, 0.5f);
           linear.zeros.assign(linear.out, 8);
         }});
  config = nlohmann::json::parse(Contents(model_ / "config.json"));
  config["quantization_config"]["dynamic"] = {{"+:.*1\\.mlp\\.up_proj", {{"group_size", -1}}}};
  std::ofstream(model_ / "config.json") << config;
  expect_refused("awq", "has groups of");
}

TEST_F(ConvertTest, TheModelIsNeverReplaced) {
  Write({Gptq(4)});
  const std::string config = Contents(model_ / "config.json");
  QuantizeRequest request = Request("awq");
  for (const fs::path& path : {model_, dir_.path()}) {
    request.outputs[0].path = path;
    ExpectError(Run(request).status(), Error::kInvalidArgument,
                AllOf(HasSubstr("the output " + path.string() + " would replace"),
                      HasSubstr("the model that it is made from")));
    EXPECT_EQ(Contents(model_ / "config.json"), config);
    const auto forecast = ForecastConvert(request, 1);
    ASSERT_TRUE(forecast.ok()) << forecast.status();
    EXPECT_THAT(forecast->warnings, Contains(HasSubstr("would replace")));
  }
  EXPECT_FALSE(fs::exists(model_.string() + ".part"));
}

TEST_F(ConvertTest, GoesOnWhereItWasStopped) {
  Write({Gptq(4)});
  ExpectGoesOnWhereItWasStopped(Request("awq"));
}

TEST(Conversions, EveryRowIsAPairOfFormats) {
  for (const ConversionRow& row : AllConversions()) {
    for (const std::string_view format : {row.from, row.to}) {
      EXPECT_THAT((std::vector<std::string_view>{"gguf", "awq", "gptq"}),
                  ::testing::Contains(format));
    }
    EXPECT_THAT(row.otherwise, ::testing::Not(IsEmpty()));
  }
}

}  // namespace
}  // namespace quantized
