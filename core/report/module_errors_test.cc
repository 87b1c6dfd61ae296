#include "core/report/module_errors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stop_token>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/forward/gguf_tensor_source.h"
#include "core/forward/test_gguf.h"
#include "core/forward/test_model.h"
#include "tests/support/recording_sink.h"

namespace quantized {
namespace {

using testing::AlteredSource;
using ::testing::ElementsAre;
using testing::GgufChoices;
using ::testing::HasSubstr;
using testing::OpenModel;
using testing::RecordingSink;
using ::testing::SizeIs;

absl::StatusOr<std::vector<ModuleError>> Measure(const OpenModel& model, const TensorSource& source,
                                                 const TensorSource& quantized,
                                                 size_t thread_count = 2,
                                                 std::stop_token stop = {}) {
  ThreadPool threads(thread_count);
  RecordingSink sink;
  JobContext context{std::move(stop), sink, threads};
  return MeasureTensorErrors(model.config(), source, quantized, context);
}

class ModuleErrorsTest : public ::testing::Test {
 protected:
  std::unique_ptr<GgufTensorSource> Quantized(const OpenModel& model, std::string_view name,
                                              const GgufChoices& choices) const {
    return *GgufTensorSource::Open(
        testing::WriteGguf(testing::GoldenDir() / "activations/models" / name,
                           dir_.path() / "model.gguf", choices),
        model.config());
  }

  void ExpectRefused(const absl::StatusOr<std::vector<ModuleError>>& errors, Error error,
                     std::string_view message) const {
    ASSERT_FALSE(errors.ok());
    EXPECT_EQ(::quantized::ErrorOf(errors.status()), error) << errors.status();
    EXPECT_THAT(std::string(errors.status().message()), HasSubstr(std::string(message)));
  }

  testing::TempDir dir_;
};

TEST_F(ModuleErrorsTest, OfEachMatrixInOrder) {
  const OpenModel model("llama");
  const auto quantized = Quantized(model, "llama", {.type = kernels::TypeId::kQ8_0});
  const auto errors = Measure(model, model.source(), *quantized);
  ASSERT_TRUE(errors.ok()) << errors.status();
  std::vector<std::string> modules, kinds;
  for (const ModuleError& error : *errors) {
    modules.push_back(error.module);
    if (error.layer == 1) kinds.push_back(error.kind);
    const TensorSource::Tensor& tensor =
        *model.source().Find(PlainName(model.architecture(), error.module + ".weight"));
    const uint64_t rows = tensor.shape[0], cols = tensor.shape[1];
    EXPECT_EQ(error.rows, rows);
    EXPECT_EQ(error.cols, cols);
    EXPECT_EQ(error.type, cols % 32 == 0 ? "Q8_0" : "F32");
    std::vector<float> want(rows * cols), got(rows * cols);
    ASSERT_TRUE(model.source().ReadRows(tensor, 0, rows, want.data()).ok());
    ASSERT_TRUE(
        quantized
            ->ReadRows(*quantized->Find(PlainName(model.architecture(), error.module + ".weight")),
                       0, rows, got.data())
            .ok());
    double off = 0, norm = 0;
    for (size_t i = 0; i < want.size(); ++i) {
      off += std::pow(double{want[i]} - got[i], 2);
      norm += std::pow(double{want[i]}, 2);
    }
    ASSERT_TRUE(error.weight_error.has_value());
    EXPECT_NEAR(*error.weight_error, off / norm, 1e-12);
    EXPECT_EQ(*error.weight_error > 0, error.type == "Q8_0");
    EXPECT_LT(*error.weight_error, 1e-4);
    EXPECT_FALSE(error.output_error.has_value());
  }
  ASSERT_THAT(modules, SizeIs(16));
  EXPECT_EQ(modules[0], "model.embed_tokens");
  EXPECT_EQ(modules[1], "lm_head");
  EXPECT_EQ(modules[2], "model.layers.0.self_attn.q_proj");
  EXPECT_FALSE((*errors)[1].layer.has_value());
  EXPECT_EQ((*errors)[2].layer, 0u);
  EXPECT_THAT(kinds, ElementsAre("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up",
                                 "ffn_down"));
}

TEST_F(ModuleErrorsTest, ThreadsShowNowhere) {
  const OpenModel model("mixtral");
  const auto quantized = Quantized(model, "mixtral", {.type = kernels::TypeId::kQ4_0});
  const auto want = Measure(model, model.source(), *quantized, 1);
  ASSERT_TRUE(want.ok()) << want.status();
  // Embedding, head, and in each layer attention, the router and three matrices of four experts.
  ASSERT_THAT(*want, SizeIs(2 + 2 * (4 + 1 + 12)));
  EXPECT_EQ((*want)[7].module, "model.layers.0.block_sparse_moe.experts.0.w1");
  EXPECT_EQ((*want)[8].module, "model.layers.0.block_sparse_moe.experts.1.w1");
  EXPECT_EQ((*want)[8].kind, "ffn_gate_exps");
  const auto got = Measure(model, model.source(), *quantized, 5);
  ASSERT_TRUE(got.ok()) << got.status();
  for (size_t i = 0; i < want->size(); ++i) {
    EXPECT_EQ((*got)[i].module, (*want)[i].module);
    EXPECT_EQ((*got)[i].weight_error, (*want)[i].weight_error);
  }
}

TEST_F(ModuleErrorsTest, OfNoDifferenceAreNothing) {
  const OpenModel model("gemma3");
  const auto quantized = Quantized(model, "gemma3", {.vocabulary = 90});
  const auto errors = Measure(model, model.source(), *quantized);
  ASSERT_TRUE(errors.ok()) << errors.status();
  EXPECT_EQ((*errors)[0].rows, 90u) << "the rows that both have";
  for (const ModuleError& error : *errors) EXPECT_EQ(error.weight_error, 0.0) << error.module;
}

TEST_F(ModuleErrorsTest, OfAMatrixOfZerosOnlyZerosAreKnown) {
  const OpenModel model("llama");
  AlteredSource zeros(model.source());
  zeros.alter = [](const std::string& name, std::span<float> values) {
    if (name == "lm_head.weight") std::ranges::fill(values, 0.0f);
  };
  const auto errors = Measure(model, zeros, model.source());
  ASSERT_TRUE(errors.ok()) << errors.status();
  EXPECT_FALSE((*errors)[1].weight_error.has_value());
  EXPECT_EQ((*errors)[0].weight_error, 0.0);
  EXPECT_EQ((*Measure(model, zeros, zeros))[1].weight_error, 0.0);
}

TEST_F(ModuleErrorsTest, ATiedHeadMayBeMissing) {
  const OpenModel model("llama");
  AlteredSource headless(model.source());
  headless.hidden = "lm_head.weight";
  const auto errors = Measure(model, model.source(), headless);
  ASSERT_TRUE(errors.ok()) << errors.status();
  EXPECT_THAT(*errors, SizeIs(15));
}

TEST_F(ModuleErrorsTest, WhatDoesNotFitIsRefused) {
  const OpenModel model("llama");
  AlteredSource other(model.source());
  other.hidden = "layers.1.mlp.up_proj.weight";
  ExpectRefused(Measure(model, model.source(), other), Error::kValidationFailed,
                "tensor layers.1.mlp.up_proj.weight: found only in the source");
  ExpectRefused(Measure(model, other, model.source()), Error::kValidationFailed,
                "found only in the quantized model");
  other.hidden = "";
  other.misshapen = "layers.0.self_attn.k_proj.weight";
  ExpectRefused(Measure(model, model.source(), other), Error::kValidationFailed,
                "tensor layers.0.self_attn.k_proj.weight: found shape [16, 33], expected shape "
                "[16, 32] from the source");
  other.misshapen = "";
  other.alter = [](const std::string& name, std::span<float> values) {
    if (name == "model.layers.1.mlp.down_proj.weight") values[3] = NAN;
  };
  ExpectRefused(Measure(model, model.source(), other), Error::kValidationFailed,
                "tensor model.layers.1.mlp.down_proj.weight: holds values that are not finite");
}

TEST_F(ModuleErrorsTest, TellsLayersAndStopsWhenAsked) {
  const OpenModel model("llama");
  ThreadPool threads(2);
  RecordingSink sink;
  std::stop_source stop;
  JobContext context{stop.get_token(), sink, threads};
  ASSERT_TRUE(MeasureTensorErrors(model.config(), model.source(), model.source(), context).ok());
  ASSERT_THAT(sink.progress, SizeIs(2));
  EXPECT_EQ(sink.progress[1].done, 2u);
  EXPECT_EQ(sink.progress[1].total, 2u);
  stop.request_stop();
  ExpectRefused(MeasureTensorErrors(model.config(), model.source(), model.source(), context),
                Error::kCancelled, "cancelled");
}

}  // namespace
}  // namespace quantized
