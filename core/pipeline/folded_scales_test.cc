// Models that AWQ scaled, compared with what they were made of.
#include "core/pipeline/folded_scales.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/arch/architecture.h"
#include "core/base/str_cat.h"
#include "core/pipeline/convert.h"
#include "core/pipeline/model_check.h"
#include "core/pipeline/test_architecture.h"
#include "core/pipeline/test_quantize_directory.h"
#include "core/source/hf_weights.h"
#include "core/tensor/dtype.h"
#include "kernels/types/half.h"
#include "tests/support/safetensors_file.h"

namespace quantized {
namespace {

namespace fs = std::filesystem;
using State = UndoneScales::State;
using testing::DirectoryModel;
using testing::QuantizeDirectoryTest;
using testing::RecordingSink;
using testing::SafetensorsFile;

// Channels that differ much make AWQ scale them.
void AddOutliers(const std::string& name, std::span<float> values) {
  if (name.find("layernorm") == std::string::npos) return;
  for (size_t i = 0; i < values.size(); i += 8) values[i] *= 8;
}

bool IsNorm(const std::string& name) {
  return name.ends_with("layernorm.weight") || name.ends_with("attn_norm.weight") ||
         name.ends_with("ffn_norm.weight");
}

// The columns of a matrix of so many, by s; rows by r.
void Multiply(std::span<float> values, size_t cols, const std::function<float(size_t)>& r,
              const std::function<float(size_t)>& s) {
  for (size_t i = 0; i < values.size(); ++i) values[i] *= r(i / cols) * s(i % cols);
}

class FoldedScalesTest : public QuantizeDirectoryTest {
 protected:
  // A job's result.
  fs::path Make(const std::string& format) {
    QuantizeRequest request = Request(format);
    request.outputs[0].path = dir_.path() / "out" / format;
    request.overwrite = true;
    const auto result = RunJob(request);
    EXPECT_TRUE(result.ok()) << result.status();
    return request.outputs[0].path;
  }

  fs::path ToGguf(const fs::path& packed, const std::string& level) {
    QuantizeRequest request = Request("gguf", level);
    request.model_path = packed;
    request.calibration = {};
    request.outputs[0].path = dir_.path() / "converted.gguf";
    request.conversion = {.is_wanted = true, .may_requantize = true};
    request.checkpoint.enabled = false;
    request.overwrite = true;
    RecordingSink sink;
    JobContext context{{}, sink, threads_};
    const absl::Status status = Convert(request, context).status;
    EXPECT_TRUE(status.ok()) << status;
    return request.outputs[0].path;
  }

  ModelDifference Compare(const fs::path& model) {
    const auto difference = CompareTensors(model, model_, threads_);
    EXPECT_TRUE(difference.ok()) << difference.status();
    return difference.ok() ? *difference : ModelDifference();
  }

  // AWQ's result says as much of the source's weights as GPTQ's, and of no scaled norm anything.
  void ExpectAsNearAsGptq(const ModelDifference& awq, const ModelDifference& gptq) {
    EXPECT_EQ(gptq.scales_undone, std::nullopt);
    EXPECT_EQ(awq.scales_undone, true);
    EXPECT_LT(awq.relative_error, 1.4 * gptq.relative_error);
    size_t folded = 0, undone = 0;
    for (const TensorDifference& tensor : awq.tensors) {
      SCOPED_TRACE(tensor.name);
      EXPECT_NE(tensor.scales, State::kNotUndone);
      folded += tensor.scales == State::kFolded;
      undone += tensor.scales == State::kUndone;
      EXPECT_EQ(tensor.relative_error.has_value(), tensor.scales != State::kFolded);
      if (tensor.scales == State::kFolded) {
        EXPECT_TRUE(IsNorm(tensor.name));
      } else if (tensor.relative_error) {
        EXPECT_LT(*tensor.relative_error, 0.4);
      }
    }
    EXPECT_GE(folded, 2u);
    EXPECT_GE(undone, 4u);
  }

  using AlterValues = std::function<void(const std::string& name,
                                         const std::vector<uint64_t>& shape, std::span<float>)>;
  // Writes the float16 tensors of a directory again, as `alter` leaves them.
  static void Rewrite(const fs::path& directory, const AlterValues& alter) {
    SafetensorsFile file;
    const auto weights = *HfWeights::Open(directory);
    for (const HfWeights::Tensor& tensor : weights->tensors()) {
      std::string bytes(tensor.info->size_bytes, '\0');
      ASSERT_TRUE(
          tensor.file->Read(*tensor.info, 0, std::as_writable_bytes(std::span(bytes))).ok());
      if (tensor.info->dtype == DType::kF16) {
        std::vector<uint16_t> halves(bytes.size() / sizeof(uint16_t));
        std::memcpy(halves.data(), bytes.data(), bytes.size());
        std::vector<float> values(halves.size());
        std::ranges::transform(halves, values.begin(), kernels::F16ToF32);
        alter(tensor.info->name, tensor.info->shape, values);
        std::ranges::transform(values, halves.begin(), kernels::F32ToF16);
        std::memcpy(bytes.data(), halves.data(), bytes.size());
      }
      file.Add(tensor.info->name, RowOf(tensor.info->dtype).name, tensor.info->shape, bytes);
    }
    file.WriteTo(directory / "model.safetensors");
  }

  // A copy of model_ with scales that AWQ could have chosen: powers of two, so that nothing else
  // changes but what leaves float16's normal range.
  fs::path Folded() {
    const fs::path folded = dir_.path() / "folded";
    fs::remove_all(folded);
    fs::copy(model_, folded);
    const DirectoryModel model;
    const auto power = [](size_t i, size_t of) { return i % of == 0 ? 0.5f : i % of == 1 ? 4 : 1; };
    const auto in = [=](size_t i) { return power(i, 3); };       // of attention and feed-forward
    const auto value = [=](size_t i) { return power(i, 4); };    // by row of the values
    const auto product = [=](size_t i) { return power(i, 5); };  // of the feed-forward part
    const auto one = [](size_t) { return 1.0f; };
    const auto inverse = [](const auto& of) { return [of](size_t i) { return 1 / of(i); }; };
    const size_t head_dim = model.head_dim, group = model.heads / model.kv_heads;
    const auto value_of_query = [=](size_t col) {
      return value(col / head_dim / group * head_dim + col % head_dim);
    };
    Rewrite(folded, [&](const std::string& name, const std::vector<uint64_t>& shape,
                        std::span<float> values) {
      const auto is = [&](std::string_view module) {
        return name.find(module) != std::string::npos;
      };
      const size_t cols = shape.back();
      if (is("layernorm")) Multiply(values, cols, one, inverse(in));
      if (is("q_proj") || is("k_proj") || is("gate_proj")) Multiply(values, cols, one, in);
      if (is("v_proj")) Multiply(values, cols, inverse(value), in);
      if (is("up_proj")) Multiply(values, cols, inverse(product), in);
      if (is("o_proj")) Multiply(values, cols, one, value_of_query);
      if (is("down_proj")) Multiply(values, cols, one, product);
    });
    return folded;
  }

  ThreadPool threads_{2};
};

TEST_F(FoldedScalesTest, AwqIsComparedAsItComputes) {
  for (const DirectoryModel& model :
       {DirectoryModel{.alter = AddOutliers}, DirectoryModel{.biases = true, .alter = AddOutliers},
        DirectoryModel{.experts = 3, .alter = AddOutliers}}) {
    SCOPED_TRACE(StrCat("experts: ", model.experts, ", biases: ", model.biases));
    WriteModel(model);
    const ModelDifference gptq = Compare(Make("gptq"));
    const fs::path folder = Make("awq");
    const ModelDifference awq = Compare(folder);
    ExpectAsNearAsGptq(awq, gptq);
    for (const TensorDifference& tensor : awq.tensors) {
      if (!tensor.name.ends_with("v_proj.bias")) continue;
      EXPECT_LT(*tensor.relative_error, 0.15) << tensor.name;
    }
    // A file that says nothing of AWQ has the same scales.
    const ModelDifference gguf = Compare(ToGguf(folder, "Q8_0"));
    ExpectAsNearAsGptq(gguf, gptq);
    EXPECT_NEAR(gguf.relative_error, awq.relative_error, 0.1 * awq.relative_error);
  }
}

class FoldedScalesOfArchitecture : public FoldedScalesTest,
                                   public ::testing::WithParamInterface<const Architecture*> {};

TEST_P(FoldedScalesOfArchitecture, AreWhereTheQuantizerPutsThem) {
  fs::remove_all(model_);
  const auto alter = [](const std::string& name, std::span<const uint64_t>,
                        std::span<float> values) { AddOutliers(name, values); };
  ASSERT_NO_FATAL_FAILURE(testing::WriteArchitectureModel(*GetParam(), model_, alter));
  ExpectAsNearAsGptq(Compare(Make("awq")), Compare(Make("gptq")));
}

INSTANTIATE_TEST_SUITE_P(All, FoldedScalesOfArchitecture, ::testing::ValuesIn(AllArchitectures()),
                         [](const auto& param) { return std::string(param.param->model_type); });

TEST_F(FoldedScalesTest, WhatIsOnlyScaledHasNoError) {
  const ModelDifference difference = Compare(Folded());
  EXPECT_EQ(difference.scales_undone, true);
  EXPECT_LT(difference.relative_error, 1e-4);
  for (const TensorDifference& tensor : difference.tensors) {
    SCOPED_TRACE(tensor.name);
    const bool is_in_layer = tensor.name.find(".layers.") != std::string::npos;
    EXPECT_EQ(tensor.scales, !is_in_layer          ? State::kNone
                             : IsNorm(tensor.name) ? State::kFolded
                                                   : State::kUndone);
    if (tensor.scales != State::kFolded) {
      EXPECT_LT(*tensor.relative_error, 1e-4);
    }
  }
}

TEST_F(FoldedScalesTest, ALinearThatIsWrongStandsOut) {
  for (const char* module : {"self_attn.q_proj", "self_attn.v_proj", "self_attn.o_proj",
                             "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"}) {
    SCOPED_TRACE(module);
    const std::string wrong = StrCat("model.layers.1.", module, ".weight");
    const fs::path folded = Folded();
    Rewrite(folded,
            [&](const std::string& name, const std::vector<uint64_t>&, std::span<float> values) {
              if (name == wrong) std::ranges::reverse(values);
            });
    const ModelDifference difference = Compare(folded);
    EXPECT_EQ(difference.scales_undone, true);
    EXPECT_GT(difference.relative_error, 0.02);
    for (const TensorDifference& tensor : difference.tensors) {
      if (!tensor.relative_error) continue;
      if (tensor.name == wrong) {
        EXPECT_GT(*tensor.relative_error, 1);
      } else {
        EXPECT_LT(*tensor.relative_error, 1e-4) << tensor.name;
      }
    }
  }
}

TEST_F(FoldedScalesTest, BehindAZeroOfTheSourceNothingIsUndone) {
  const std::string norm = "model.layers.1.input_layernorm.weight";
  WriteModel({.alter = [&](const std::string& name, std::span<float> values) {
    if (name == norm) values[3] = 0;
  }});
  // AWQ leaves a zero, and the columns that it stands for count for nothing.
  const fs::path folded = Folded();
  const ModelDifference zero = Compare(folded);
  EXPECT_LT(zero.relative_error, 1e-4);
  for (const TensorDifference& tensor : zero.tensors) {
    EXPECT_NE(tensor.scales, State::kNotUndone) << tensor.name;
  }
  Rewrite(folded,
          [&](const std::string& name, const std::vector<uint64_t>&, std::span<float> values) {
            if (name == norm) values[3] = 1;
          });
  const ModelDifference difference = Compare(folded);
  EXPECT_EQ(difference.scales_undone, true);
  EXPECT_LT(difference.relative_error, 1e-4) << "they do not count";
  std::vector<std::string> left;
  for (const TensorDifference& tensor : difference.tensors) {
    if (tensor.scales != State::kNotUndone) continue;
    EXPECT_FALSE(tensor.relative_error.has_value());
    EXPECT_FALSE(tensor.max_error.has_value());
    left.push_back(tensor.name);
  }
  EXPECT_THAT(left, ::testing::UnorderedElementsAre("model.layers.1.self_attn.q_proj.weight",
                                                    "model.layers.1.self_attn.k_proj.weight",
                                                    "model.layers.1.self_attn.v_proj.weight"));
}

// A norm by itself makes no scale: what reads it has to bear it out.
TEST_F(FoldedScalesTest, ANormThatIsWrongIsMeasured) {
  const fs::path other = dir_.path() / "other";
  fs::copy(model_, other);
  Rewrite(other,
          [](const std::string& name, const std::vector<uint64_t>&, std::span<float> values) {
            if (name.find("layers.0.input_layernorm") == std::string::npos) return;
            for (size_t i = 0; i < values.size(); i += 2) values[i] *= 1.5f;
          });
  const ModelDifference difference = Compare(other);
  EXPECT_EQ(difference.scales_undone, std::nullopt);
  EXPECT_EQ(difference.relative_error, 0);
  for (const TensorDifference& tensor : difference.tensors) {
    const bool is_wrong = tensor.name == "model.layers.0.input_layernorm.weight";
    EXPECT_EQ(tensor.scales, State::kNone);
    EXPECT_EQ(tensor.relative_error > 0.1, is_wrong) << tensor.name;
  }
}

}  // namespace
}  // namespace quantized
