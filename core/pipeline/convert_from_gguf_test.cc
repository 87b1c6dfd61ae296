// GGUF files converted to AWQ and GPTQ directories.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/base/thread_pool.h"
#include "core/pipeline/convert.h"
#include "core/pipeline/converted_folder.h"
#include "core/pipeline/test_convert.h"
#include "core/source/hf_weights.h"
#include "tests/support/recording_sink.h"

namespace quantized {
namespace {

namespace fs = std::filesystem;
using testing::ConvertTest;
using testing::DirectoryModel;
using ::testing::HasSubstr;
using testing::RecordingSink;

class ConvertGgufTest : public ConvertTest {
 protected:
  // model_ quantized to gguf_, which is what is converted.
  void WriteGguf(const std::string& level, const DirectoryModel& model = {}, bool pure = true) {
    fs::remove_all(model_);
    testing::WriteDirectoryModel(model_, model);
    MakeGguf(level, pure);
  }
  void MakeGguf(const std::string& level, bool pure = true) {
    QuantizeRequest request = Request("gguf", level);
    request.conversion = {};
    request.gguf.pure = pure;
    ThreadPool pool(2);
    RecordingSink sink;
    JobContext context{{}, sink, pool};
    ASSERT_TRUE(Quantize(request, context).status.ok());
  }

  QuantizeRequest FromGguf(const std::string& format, const std::string& level = "") const {
    QuantizeRequest request = Request(format, level);
    request.model_path = gguf_;
    request.conversion.may_requantize = true;
    return request;
  }

  // Of linears in the layers: the rest is rounded to float16.
  static Values Linears(Values values) {
    std::erase_if(values, [](const auto& entry) {
      return entry.first.find("blk.") == std::string::npos ||
             entry.first.find("norm") != std::string::npos ||
             entry.first.find("gate_inp") != std::string::npos || entry.first.ends_with(".bias");
    });
    return values;
  }
};

TEST_F(ConvertGgufTest, BlocksOfOneScaleAreGroups) {
  struct Case {
    const char *level, *format, *made;
  };
  for (const Case& one : {Case{"Q4_0", "gptq", "4bit"},
                          {"Q4_0", "awq", "4bit"},
                          {"Q5_0", "gptq", "8bit"},
                          {"Q8_0", "gptq", "8bit"}}) {
    SCOPED_TRACE(std::string(one.level) + " to " + one.format);
    WriteGguf(one.level, {.biases = true});
    const auto result = Run(FromGguf(one.format));
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->level, one.made);
    EXPECT_EQ(result->fidelity, "rounded") << "the embedding becomes float16";
    EXPECT_EQ(result->original_dtype, std::string("gguf ") + one.level);
    EXPECT_EQ(Linears(UnpackedValues(folder_)), Linears(GgufValues(gguf_)));
    EXPECT_EQ(QuantizationConfigOf(folder_)["group_size"], 32);
    for (const char* file : {"tokenizer.json", "tokenizer_config.json", "generation_config.json"}) {
      EXPECT_TRUE(fs::exists(folder_ / file)) << file;
    }
  }
}

TEST_F(ConvertGgufTest, ExpertsBecomeLinearsAgain) {
  WriteGguf("Q4_0", {.layers = 2, .experts = 3});
  ASSERT_TRUE(Run(FromGguf("gptq")).ok());
  EXPECT_EQ(Linears(UnpackedValues(folder_)), Linears(GgufValues(gguf_)));
  const auto config = nlohmann::json::parse(Contents(folder_ / "config.json"));
  EXPECT_EQ(config["architectures"][0], "MixtralForCausalLM");
}

// A GPTQ directory by way of Q4_0 has the same codes and scales in the same groups.
TEST_F(ConvertGgufTest, GptqByWayOfGgufIsTheSame) {
  for (const int64_t group_size : {32, 64, -1}) {
    SCOPED_TRACE(group_size);
    Write({Gptq(4, true, group_size)}, {.hidden = 128, .feed_forward = 192, .head_dim = 32});
    ASSERT_TRUE(Run(Request("gguf")).ok());
    const auto back = Run(FromGguf("gptq"));
    ASSERT_TRUE(back.ok()) << back.status();
    EXPECT_EQ(back->fidelity, "exact");
    EXPECT_EQ(QuantizationConfigOf(folder_)["group_size"], group_size);
    const auto weights = *HfWeights::Open(model_), found = *HfWeights::Open(folder_);
    std::map<std::string, HfWeights::Tensor> by_name;
    for (const HfWeights::Tensor& tensor : found->tensors()) by_name[tensor.info->name] = tensor;
    for (const HfWeights::Tensor& tensor : weights->tensors()) {
      ASSERT_TRUE(by_name.contains(tensor.info->name)) << tensor.info->name;
      const HfWeights::Tensor& other = by_name[tensor.info->name];
      ASSERT_EQ(other.info->shape, tensor.info->shape) << tensor.info->name;
      std::vector<std::byte> a(tensor.info->size_bytes), b(other.info->size_bytes);
      ASSERT_TRUE(tensor.file->Read(*tensor.info, 0, a).ok());
      ASSERT_TRUE(other.file->Read(*other.info, 0, b).ok());
      EXPECT_EQ(a, b) << tensor.info->name;
    }
    EXPECT_EQ(weights->tensors().size(), found->tensors().size());
  }
}

TEST_F(ConvertGgufTest, OtherTypesAreQuantizedAnew) {
  WriteGguf("Q4_K_M", {.layers = 2, .hidden = 256, .feed_forward = 256, .head_dim = 64}, false);
  QuantizeRequest request = FromGguf("gptq");
  const auto forecast = ForecastConvert(request, 2);
  ASSERT_TRUE(forecast.ok()) << forecast.status();
  EXPECT_EQ(forecast->outputs[0].level, "4bit");
  EXPECT_THAT(forecast->conversion->why, HasSubstr("Q4_K"));
  const auto result = Run(request);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_GT(*result->mean_module_error, 1e-4);
  EXPECT_LT(*result->mean_module_error, 0.02);
  // 8 bits lose next to nothing.
  const auto finer = Run(FromGguf("gptq", "8bit"));
  ASSERT_TRUE(finer.ok()) << finer.status();
  EXPECT_LT(*finer->mean_module_error, 1e-4);
}

// Fewer than 4 bits would lose far more than the file has lost already.
TEST_F(ConvertGgufTest, NoDefaultIsBelowFourBits) {
  WriteGguf("Q3_K_S", {.layers = 2, .hidden = 256, .feed_forward = 256, .head_dim = 64});
  const auto forecast = ForecastConvert(FromGguf("gptq"), 2);
  ASSERT_TRUE(forecast.ok()) << forecast.status();
  EXPECT_EQ(forecast->outputs[0].level, "4bit");
}

// Codes that blocks with minima have are not made anew where they fit: such groups use not all of
// the codes, so that a range of their own would have other steps.
TEST_F(ConvertGgufTest, CodesOfMinimaAreKeptWhereTheyAreCloser) {
  const PackedOptions awq = {.method = PackedMethod::kAwq, .group_size = 32};
  Write({awq, [](const std::string&, QuantizedLinear& linear) {
           for (uint8_t& code : linear.codes) code = std::clamp<uint8_t>(code, 3, 12);
         }});
  const auto minima = Run(Request("gguf", "Q4_1"));
  ASSERT_TRUE(minima.ok()) << minima.status();
  const auto back = Run(FromGguf("awq"));
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(back->fidelity, "requantized");
  EXPECT_LT(*back->mean_module_error, 1e-5);

  // Of any other blocks the error is smaller than by ranges alone.
  WriteGguf("Q4_1");
  const auto made = Run(FromGguf("awq"));
  ASSERT_TRUE(made.ok()) << made.status();
  const Values linears = Linears(GgufValues(gguf_));
  ThreadPool pool(2);
  double by_ranges = 0;
  for (const auto& [name, values] : linears) {
    const size_t cols = name.find("ffn_down") == std::string::npos ? 64 : 96;
    Matrix weights(values.size() / cols, cols);
    weights.values = values;
    const auto anew = QuantizedAnew(weights, awq, pool);
    ASSERT_TRUE(anew.ok()) << anew.status();
    by_ranges += anew->relative_error;
  }
  EXPECT_LT(*made->mean_module_error, by_ranges / static_cast<double>(linears.size()));
  EXPECT_GT(*made->mean_module_error, 0);
}

TEST_F(ConvertGgufTest, FloatLevelsAreMadeWithoutAQuestion) {
  WriteGguf("Q4_0");
  QuantizeRequest request = FromGguf("gguf", "F32");
  request.conversion.may_requantize = false;
  request.outputs[0].path = dir_.path() / "wide.gguf";
  const auto exact = Run(request);
  ASSERT_TRUE(exact.ok()) << exact.status();
  EXPECT_EQ(exact->fidelity, "exact");
  EXPECT_EQ(GgufValues(dir_.path() / "wide.gguf"), GgufValues(gguf_));
  request.outputs[0].level = "F16";
  const auto rounded = Run(request);
  ASSERT_TRUE(rounded.ok()) << rounded.status();
  EXPECT_EQ(rounded->fidelity, "rounded");
}

TEST_F(ConvertGgufTest, TheFileAndTheFoldersAroundItAreNeverReplaced) {
  WriteGguf("Q8_0");
  const fs::path notes = gguf_.parent_path() / "other" / "notes.txt";
  fs::create_directories(notes.parent_path());
  ASSERT_TRUE(WriteFileAtomically(notes, "precious").ok());
  const std::string before = Contents(gguf_);
  for (const fs::path& path : {gguf_, gguf_.parent_path()}) {
    QuantizeRequest request = FromGguf("gptq", "8bit");
    request.outputs[0].path = path;
    ExpectError(Run(request).status(), Error::kInvalidArgument,
                HasSubstr("the output " + path.string() + " would replace"));
  }
  // The folder that stands for the one file in it.
  QuantizeRequest request = FromGguf("gguf", "Q4_0");
  request.model_path = gguf_.parent_path();
  ExpectError(Run(request).status(), Error::kInvalidArgument,
              HasSubstr("the output " + gguf_.string() + " would replace"));
  EXPECT_TRUE(Contents(gguf_) == before);
  EXPECT_EQ(Contents(notes), "precious");
}

// The file is sound: it is the class in transformers that has all biases or none.
TEST_F(ConvertGgufTest, WhatNoDirectoryCanSayIsRefused) {
  testing::WriteDirectoryModel(model_, {.biases = true});
  Rewrite([](std::map<std::string, Stored>& tensors) {
    std::erase_if(tensors, [](const auto& entry) { return entry.first.ends_with("o_proj.bias"); });
  });
  ASSERT_NO_FATAL_FAILURE(MakeGguf("Q8_0"));
  for (const char* format : {"gptq", "awq"}) {
    const absl::Status status = Run(FromGguf(format)).status();
    ExpectError(
        status, Error::kUnsupportedConversion,
        ::testing::StartsWith(gguf_.string() + ": tensor blk.0.attn_output.bias: found nothing"));
    EXPECT_EQ(SuggestionOf(status), "Convert to another level of gguf");
  }
  QuantizeRequest request = FromGguf("gguf", "Q4_0");
  request.outputs[0].path = dir_.path() / "other.gguf";
  EXPECT_TRUE(Run(request).ok()) << "as the suggestion says";
}

TEST_F(ConvertGgufTest, WidthsThatDirectoriesDoNotHoldAreRefused) {
  WriteGguf("Q8_0", {.feed_forward = 80});
  ExpectError(Run(FromGguf("gptq")).status(), Error::kUnsupportedConversion,
              HasSubstr("multiples of 32"));
}

}  // namespace
}  // namespace quantized
