#include "core/source/gguf_source.h"

#include <chrono>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/gguf/layout.h"
#include "core/source/gguf_summary.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/paths.h"

namespace quantized {
namespace {

using gguf::Metadata;
using gguf::PlannedTensor;
using kernels::TypeId;
using ::testing::ElementsAre;
using ::testing::SizeIs;

const std::vector<PlannedTensor> kTensors = {
    {"rope_freqs.weight", TypeId::kF32, {2}},         {"token_embd.weight", TypeId::kF16, {4, 10}},
    {"blk.0.attn_q.weight", TypeId::kF16, {4, 4}},    {"blk.0.attn_norm.weight", TypeId::kF32, {4}},
    {"blk.0.column.weight", TypeId::kF16, {4, 1, 1}},
};

Metadata LlamaMetadata() {
  return Metadata({{"general.architecture", std::string("llama")},
                   {"general.type", std::string("model")},
                   {"llama.block_count", uint32_t{1}},
                   {"llama.attention.head_count", uint32_t{2}},
                   {"split.count", uint16_t{1}}});
}

class GgufSourceTest : public ::testing::Test {
 protected:
  // Writes NAME.gguf; byte i of the file's data is i mod 251.
  std::filesystem::path Write(const std::string& name, const Metadata& metadata,
                              const std::vector<PlannedTensor>& tensors) {
    const auto layout = gguf::Plan(metadata, tensors);
    EXPECT_TRUE(layout.ok()) << layout.status();
    std::string file = layout->header;
    while (file.size() < layout->file_size_bytes) {
      file.push_back(static_cast<char>((file.size() - layout->data_start) % 251));
    }
    const auto path = folder_.path() / (name + ".gguf");
    EXPECT_TRUE(WriteFileAtomically(path, file).ok());
    return path;
  }
  std::string Refusal(const Metadata& metadata, const std::vector<PlannedTensor>& tensors) {
    const auto source = GgufSource::Open(Write("refused", metadata, tensors));
    EXPECT_FALSE(source.ok());
    if (source.ok()) return "";
    EXPECT_EQ(ErrorOf(source.status()), Error::kValidationFailed);
    return std::string(source.status().message());
  }

  const testing::TempDir folder_;
};

TEST_F(GgufSourceTest, SummaryIsInHuggingFaceTerms) {
  const auto source = GgufSource::Open(Write("tiny-F16", LlamaMetadata(), kTensors));
  ASSERT_TRUE(source.ok()) << source.status();
  const ModelSummary& summary = (*source)->summary();
  EXPECT_EQ(summary.name, "tiny-F16");
  EXPECT_EQ(summary.architecture, "LlamaForCausalLM");
  EXPECT_EQ(summary.dtype, "float16");
  EXPECT_EQ(summary.parameter_count, 40u + 16 + 4 + 4);  // rope_freqs was generated
  EXPECT_EQ(summary.size_bytes, 8u + 80 + 32 + 16 + 8);
  EXPECT_EQ(summary.num_layers, 1u);
  EXPECT_EQ(summary.hidden_size, 4u);
  EXPECT_EQ(summary.num_heads, 2u);
  EXPECT_EQ(summary.vocab_size, 10u);
  EXPECT_FALSE((*source)->is_conversion());
}

TEST_F(GgufSourceTest, TensorsAndMetadataAreTheModelsOwn) {
  const auto source = GgufSource::Open(Write("m", LlamaMetadata(), kTensors));
  ASSERT_TRUE(source.ok()) << source.status();
  EXPECT_EQ((*source)->metadata().Find("split.count"), nullptr);
  EXPECT_THAT((*source)->metadata().entries(), SizeIs(4));
  const auto tensors = (*source)->tensors();
  ASSERT_THAT(tensors, SizeIs(kTensors.size()));
  EXPECT_EQ(tensors[1].origin, "m.gguf: token_embd.weight");
  EXPECT_THAT(tensors[4].dims, ElementsAre(4));
}

TEST_F(GgufSourceTest, RowsAreReadWhereTheyLie) {
  const auto source = GgufSource::Open(Write("m", LlamaMetadata(), kTensors));
  ASSERT_TRUE(source.ok()) << source.status();
  std::vector<std::byte> rows(2 * 8);
  ASSERT_TRUE((*source)->ReadRows(1, 3, 2, rows).ok());
  // The embedding follows rope_freqs, 8 bytes padded to 32; a row of it has 8 bytes.
  for (size_t i = 0; i < rows.size(); ++i) {
    EXPECT_EQ(std::to_integer<size_t>(rows[i]), 32 + 3 * 8 + i);
  }
}

TEST_F(GgufSourceTest, FingerprintFollowsHeaderSizeAndTimeOnly) {
  namespace fs = std::filesystem;
  const auto fingerprint = [](const fs::path& path) {
    return (*GgufSource::Open(path))->fingerprint();
  };
  const fs::path path = Write("m", LlamaMetadata(), kTensors);
  const fs::path copy = folder_.path() / "copy.gguf";
  fs::copy_file(path, copy);
  fs::last_write_time(copy, fs::last_write_time(path));
  const std::string original = fingerprint(path);
  EXPECT_THAT(original, SizeIs(64));
  EXPECT_EQ(fingerprint(copy), original);
  fs::last_write_time(copy, fs::last_write_time(path) + std::chrono::nanoseconds(1000));
  EXPECT_NE(fingerprint(copy), original);

  Metadata other = LlamaMetadata();
  other.Set("llama.attention.head_count", uint32_t{4});
  const fs::path changed = Write("changed", other, kTensors);
  fs::last_write_time(changed, fs::last_write_time(path));
  EXPECT_NE(fingerprint(changed), original);
}

TEST_F(GgufSourceTest, FilesWithoutAModelAreRefused) {
  Metadata imatrix = LlamaMetadata();
  imatrix.Set("general.type", std::string("imatrix"));
  EXPECT_EQ(Refusal(imatrix, kTensors),
            "refused.gguf: metadata key general.type is 'imatrix', expected 'model'");
  Metadata nameless = LlamaMetadata();
  nameless.Remove("general.architecture");
  EXPECT_EQ(Refusal(nameless, kTensors),
            "refused.gguf: metadata key general.architecture is missing, expected a string");
  EXPECT_EQ(Refusal(LlamaMetadata(), {}), "refused.gguf: holds no tensors");
}

TEST_F(GgufSourceTest, TensorsTellArchitecturesOfOneNameApart) {
  std::vector<PlannedTensor> tensors = {{"token_embd.weight", TypeId::kF16, {4, 10}},
                                        {"blk.0.ffn_gate_inp.weight", TypeId::kF32, {4, 2}}};
  for (const char* name : {"gate", "down", "up"}) {
    tensors.push_back({std::string("blk.0.ffn_") + name + "_exps.weight", TypeId::kF16, {4, 4, 2}});
  }
  const auto source = GgufSource::Open(Write("experts", LlamaMetadata(), tensors));
  ASSERT_TRUE(source.ok()) << source.status();
  EXPECT_EQ((*source)->summary().architecture, "MixtralForCausalLM");
}

TEST_F(GgufSourceTest, ManyLayersThatAreNotThereCostNothing) {
  Metadata metadata = LlamaMetadata();
  metadata.Set("llama.block_count", std::numeric_limits<uint32_t>::max());
  const auto source = GgufSource::Open(Write("layers", metadata, kTensors));
  ASSERT_TRUE(source.ok()) << source.status();
  EXPECT_EQ((*source)->summary().architecture, "LlamaForCausalLM");
}

TEST_F(GgufSourceTest, SummaryFallsBackOnWhatIsThere) {
  const Metadata metadata(
      {{"general.architecture", std::string("someday")},
       {"someday.embedding_length", uint32_t{64}},
       {"someday.attention.head_count", gguf::Array(std::vector<int32_t>{4, 8, 4})},
       {"tokenizer.ggml.tokens", gguf::Array(std::vector<std::string>{"a", "b", "c"})}});
  const auto source = GgufSource::Open(Write("m", metadata, {{"x", TypeId::kQ4_K, {256}}}));
  ASSERT_TRUE(source.ok()) << source.status();
  const ModelSummary& summary = (*source)->summary();
  EXPECT_EQ(summary.architecture, "someday");
  EXPECT_EQ(summary.dtype, "Q4_K");
  EXPECT_EQ(summary.hidden_size, 64u);
  EXPECT_EQ(summary.num_heads, 8u);
  EXPECT_EQ(summary.num_layers, 0u);
  EXPECT_EQ(summary.vocab_size, 3u);
}

TEST(GgufModelNameTest, DropsFolderSuffixAndSplitNumbers) {
  EXPECT_EQ(GgufModelName("/a/b/m-Q4_K_M.gguf"), "m-Q4_K_M");
  EXPECT_EQ(GgufModelName("m-00002-of-00003.gguf"), "m");
  EXPECT_EQ(GgufModelName("a/v1.5"), "v1.5");
}

}  // namespace
}  // namespace quantized
