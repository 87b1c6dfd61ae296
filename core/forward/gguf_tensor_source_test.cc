#include "core/forward/gguf_tensor_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <thread>
#include <vector>

#include "core/base/error.h"
#include "core/forward/model_comparison.h"
#include "core/forward/test_gguf.h"
#include "core/forward/test_model.h"
#include "core/source/hf_source.h"
#include "tests/support/recording_sink.h"

namespace quantized {
namespace {

using kernels::TypeId;
using ::testing::ElementsAre;
using testing::GgufChoices;
using ::testing::HasSubstr;
using testing::OpenModel;
using testing::RecordingSink;
using ::testing::SizeIs;
using testing::TestWindows;
using testing::WriteGguf;

std::filesystem::path DirectoryOf(std::string_view name) {
  return testing::GoldenDir() / "activations/models" / name;
}

uint64_t RowsOf(const TensorSource::Tensor& tensor) {
  return tensor.shape.size() == 1 ? 1 : tensor.shape[0];
}

std::vector<float> Rows(const TensorSource& source, const TensorSource::Tensor& tensor,
                        uint64_t first, uint64_t count) {
  std::vector<float> values(count * tensor.shape.back());
  const absl::Status status = source.ReadRows(tensor, first, count, values.data());
  EXPECT_TRUE(status.ok()) << status;
  return values;
}
std::vector<float> All(const TensorSource& source, const TensorSource::Tensor& tensor) {
  return Rows(source, tensor, 0, RowsOf(tensor));
}

// The plain names of what a conversion of `model` keeps.
std::vector<std::string> NamesOf(const OpenModel& model) {
  std::vector<std::string> names;
  for (const HfWeights::Tensor& tensor : model.source().weights().tensors()) {
    const auto match =
        MatchTensorName(model.architecture(), model.config().geometry.layers, tensor.info->name);
    EXPECT_TRUE(match.ok()) << match.status();
    if (*match) names.push_back(PlainName(model.architecture(), tensor.info->name));
  }
  return names;
}

class GgufTensorSourceTest : public ::testing::Test {
 protected:
  std::unique_ptr<GgufTensorSource> Open(const OpenModel& model, std::string_view name,
                                         const GgufChoices& choices = {}) const {
    auto source = GgufTensorSource::Open(
        WriteGguf(DirectoryOf(name), dir_.path() / (std::string(name) + ".gguf"), choices),
        model.config());
    EXPECT_TRUE(source.ok()) << source.status();
    return source.ok() ? *std::move(source) : nullptr;
  }

  void ExpectRefused(const std::filesystem::path& file, const ForwardConfig& config,
                     std::string_view message) const {
    const auto source = GgufTensorSource::Open(std::span(&file, 1), config);
    ASSERT_FALSE(source.ok());
    EXPECT_EQ(ErrorOf(source.status()), Error::kValidationFailed) << source.status();
    EXPECT_THAT(std::string(source.status().message()), HasSubstr(std::string(message)));
  }

  testing::TempDir dir_;
};

TEST_F(GgufTensorSourceTest, OfLevelF32IsTheCheckpoint) {
  for (const std::string_view name : testing::kFamilyModels) {
    SCOPED_TRACE(std::string(name));
    const OpenModel model(name);
    const auto source = Open(model, name);
    ASSERT_NE(source, nullptr);
    const std::vector<std::string> names = NamesOf(model);
    EXPECT_GT(names.size(), 10u);
    for (const std::string& plain : names) {
      SCOPED_TRACE(plain);
      const TensorSource::Tensor* want = model.source().Find(plain);
      const TensorSource::Tensor* got = source->Find(plain);
      ASSERT_NE(got, nullptr);
      EXPECT_EQ(got->name, want->name);
      EXPECT_EQ(got->shape, want->shape);
      EXPECT_EQ(got->type, "F32");
      const std::vector<float> values = All(model.source(), *want);
      EXPECT_EQ(All(*source, *got), values);
      // Any rows, across the halves and ends of heads.
      const uint64_t rows = RowsOf(*want), cols = want->shape.back();
      for (uint64_t first = 0; first < rows; first += 3) {
        const uint64_t count = std::min<uint64_t>(7, rows - first);
        EXPECT_THAT(Rows(*source, *got, first, count),
                    std::vector<float>(values.begin() + first * cols,
                                       values.begin() + (first + count) * cols));
      }
    }
    EXPECT_EQ(source->Find("layers.0.self_attn.nothing.weight"), nullptr);
    EXPECT_EQ(source->Find("rope_freqs.weight"), nullptr);
  }
}

// Directories with a tokenizer, through the whole conversion: rope factors, biases, a cut
// vocabulary, experts, norms in float16.
TEST_F(GgufTensorSourceTest, UndoesWhatTheConverterWrites) {
  for (const std::string_view name : {"Llama-3.9-1B-Instruct", "llama-biases", "gemma-3-oov-rows",
                                      "gemma-3-f16", "Phi-3-su", "Qwen3-MoE-tied"}) {
    SCOPED_TRACE(std::string(name));
    const std::filesystem::path directory = testing::GoldenDir() / "hf2gguf/models" / name;
    const auto converted = OpenHfSource(directory, {});
    ASSERT_TRUE(converted.ok()) << converted.status();
    std::vector<gguf::PlannedTensor> planned;
    for (const SourceTensor& tensor : (*converted)->tensors()) {
      planned.push_back({tensor.name, tensor.type, tensor.dims});
    }
    const auto layout = gguf::Plan((*converted)->metadata(), planned);
    ASSERT_TRUE(layout.ok()) << layout.status();
    std::string bytes = layout->header;
    bytes.resize(layout->file_size_bytes, '\0');
    for (size_t i = 0; i < planned.size(); ++i) {
      const auto out = std::as_writable_bytes(std::span(bytes))
                           .subspan(layout->tensors[i].offset, layout->tensors[i].size_bytes);
      ASSERT_TRUE((*converted)->ReadRows(i, 0, (*converted)->tensors()[i].rows(), out).ok());
    }
    const std::filesystem::path file = dir_.path() / (std::string(name) + ".gguf");
    std::ofstream(file, std::ios::binary) << bytes;

    const HfConfig hf_config = *HfConfig::Read(directory);
    const Architecture& architecture = *FindArchitecture(hf_config.architecture());
    // Some of these configurations are beyond the forward pass, which is not what is asked here.
    ForwardConfig config;
    config.architecture = &architecture;
    config.geometry = *GeometryOf(hf_config);
    const auto source = GgufTensorSource::Open(std::span(&file, 1), config);
    ASSERT_TRUE(source.ok()) << source.status();
    const auto checkpoint = HfTensorSource::Open(directory, architecture);
    ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
    size_t seen = 0;
    for (const HfWeights::Tensor& tensor : (*checkpoint)->weights().tensors()) {
      const auto match = MatchTensorName(architecture, config.geometry.layers, tensor.info->name);
      if (!match.ok() || !*match) continue;
      SCOPED_TRACE(tensor.info->name);
      const std::string plain = PlainName(architecture, tensor.info->name);
      const TensorSource::Tensor* want = (*checkpoint)->Find(plain);
      const TensorSource::Tensor* got = (*source)->Find(plain);
      ASSERT_NE(want, nullptr);
      ASSERT_NE(got, nullptr);
      const uint64_t rows = RowsOf(*got);
      EXPECT_LE(rows, RowsOf(*want));
      if ((*match)->rule->transform != Transform::kCutToVocabulary) {
        EXPECT_EQ(got->shape, want->shape);
      }
      std::vector<float> a = Rows(**checkpoint, *want, 0, rows), b = Rows(**source, *got, 0, rows);
      if (TransformOf(*(*match)->rule, (*match)->is_bias) == Transform::kAddOne) {
        // The sum was rounded, in float16 for a checkpoint of that type.
        for (size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], 1e-3f);
      } else {
        EXPECT_EQ(a, b);
      }
      ++seen;
    }
    EXPECT_GT(seen, 10u);
  }
}

TEST_F(GgufTensorSourceTest, AVocabularyThatWasCutHasFewerRows) {
  const OpenModel model("gemma3");
  const auto source = Open(model, "gemma3", {.vocabulary = 90});
  ASSERT_NE(source, nullptr);
  const TensorSource::Tensor* embedding = source->Find("embed_tokens.weight");
  ASSERT_NE(embedding, nullptr);
  EXPECT_THAT(embedding->shape, ElementsAre(90, 32));
  std::vector<float> want = All(model.source(), *model.source().Find("embed_tokens.weight"));
  want.resize(90 * 32);
  EXPECT_EQ(All(*source, *embedding), want);
}

TEST_F(GgufTensorSourceTest, QuantizedIsCloseAndRuns) {
  for (const std::string_view name : testing::kFamilyModels) {
    SCOPED_TRACE(std::string(name));
    const OpenModel model(name);
    const auto source = Open(model, name, {.type = TypeId::kQ8_0});
    ASSERT_NE(source, nullptr);
    size_t quantized = 0;
    for (const std::string& plain : NamesOf(model)) {
      SCOPED_TRACE(plain);
      const TensorSource::Tensor* tensor = source->Find(plain);
      ASSERT_NE(tensor, nullptr);
      const std::vector<float> want = All(model.source(), *model.source().Find(plain));
      const std::vector<float> got = All(*source, *tensor);
      if (tensor->type != "Q8_0") {
        EXPECT_EQ(got, want);
        continue;
      }
      ++quantized;
      const float largest = std::abs(*std::ranges::max_element(
          want, [](float a, float b) { return std::abs(a) < std::abs(b); }));
      // Half a step of largest / 127, and of the step's rounding to float16 127 times 2^-11.
      for (size_t i = 0; i < want.size(); ++i) ASSERT_NEAR(got[i], want[i], largest / 220);
    }
    EXPECT_GT(quantized, 5u);

    ThreadPool threads(2);
    RecordingSink sink;
    JobContext context{{}, sink, threads};
    const auto comparison = CompareModels(model.config(), model.hf_config(), model.source(),
                                          *source, TestWindows(2, 24), {}, context);
    ASSERT_TRUE(comparison.ok()) << comparison.status();
    EXPECT_GT(comparison->kl_divergence, 0);
    EXPECT_LT(comparison->kl_divergence, 0.01);
  }
}

TEST_F(GgufTensorSourceTest, ASplitModelIsOne) {
  const OpenModel model("mixtral");
  const std::vector<std::filesystem::path> files =
      WriteGguf(DirectoryOf("mixtral"), dir_.path() / "m.gguf.part", {.file_size_bytes = 40000});
  ASSERT_GT(files.size(), 2u);
  const auto source = GgufTensorSource::Open(files, model.config());
  ASSERT_TRUE(source.ok()) << source.status();
  for (const std::string& plain : NamesOf(model)) {
    EXPECT_EQ(All(**source, *(*source)->Find(plain)),
              All(model.source(), *model.source().Find(plain)));
  }
  std::vector<std::filesystem::path> swapped = files;
  std::swap(swapped[0], swapped[1]);
  const auto refused = GgufTensorSource::Open(swapped, model.config());
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(ErrorOf(refused.status()), Error::kValidationFailed);
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("split.no 1"));
  ExpectRefused(files[0], model.config(), "expected a model in one file");
}

TEST_F(GgufTensorSourceTest, ManyThreadsReadAtOnce) {
  const OpenModel model("llama");
  const auto source = Open(model, "llama", {.type = TypeId::kQ4_0});
  ASSERT_NE(source, nullptr);
  const TensorSource::Tensor* tensor = source->Find("layers.1.self_attn.q_proj.weight");
  const std::vector<float> want = All(*source, *tensor);
  std::vector<std::vector<float>> got(4);
  {
    std::vector<std::jthread> threads;
    for (std::vector<float>& values : got) {
      threads.emplace_back([&] { values = All(*source, *tensor); });
    }
  }
  for (const std::vector<float>& values : got) EXPECT_EQ(values, want);
}

TEST_F(GgufTensorSourceTest, AnotherModelIsRefused) {
  const OpenModel model("llama");
  const std::filesystem::path file = dir_.path() / "llama.gguf";
  WriteGguf(DirectoryOf("llama"), file);
  ForwardConfig config = model.config();
  ++config.geometry.layers;
  ExpectRefused(file, config, "tensor blk.2.attn_norm.weight: found in no file");
  config = model.config();
  config.geometry.feed_forward = 64;
  ExpectRefused(file, config,
                "tensor blk.0.ffn_gate.weight: found shape [48, 32], expected shape [64, 32]");
  config = model.config();
  config.geometry.vocabulary = 97;
  ExpectRefused(file, config, "tensor token_embd.weight: found shape [96, 32]");
  ExpectRefused(file, OpenModel("qwen3").config(), "found general.architecture llama");

  const std::filesystem::path experts = dir_.path() / "mixtral.gguf";
  WriteGguf(DirectoryOf("mixtral"), experts);
  config = OpenModel("mixtral").config();
  config.geometry.experts = 5;
  ExpectRefused(experts, config, "tensor blk.0.ffn_gate_inp.weight: found shape [4, 32]");
}

TEST_F(GgufTensorSourceTest, ATypeWithoutValuesIsRefused) {
  const OpenModel model("llama");
  const std::filesystem::path file = dir_.path() / "llama.gguf";
  WriteGguf(DirectoryOf("llama"), file);
  // The type that follows name and dimensions of the first norm: F32 becomes I32, of the same size.
  std::fstream bytes(file, std::ios::binary | std::ios::in | std::ios::out);
  const std::string text{std::istreambuf_iterator<char>(bytes), {}};
  const std::string name = "blk.0.attn_norm.weight";
  bytes.seekp(static_cast<std::streamoff>(text.find(name) + name.size() + 4 + 8));
  bytes.put(static_cast<char>(TypeId::kI32));
  bytes.close();
  ExpectRefused(file, model.config(), "tensor blk.0.attn_norm.weight: found type I32");
}

TEST_F(GgufTensorSourceTest, AFileThatIsNoneIsRefused) {
  const OpenModel model("llama");
  const std::filesystem::path file = dir_.path() / "none.gguf";
  const auto missing = GgufTensorSource::Open(std::span(&file, 1), model.config());
  EXPECT_EQ(ErrorOf(missing.status()), Error::kModelNotFound) << missing.status();
  std::ofstream(file) << "no model";
  ExpectRefused(file, model.config(), "none.gguf");
}

}  // namespace
}  // namespace quantized
