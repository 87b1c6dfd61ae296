#include "core/calibrate/importance_matrix.h"

#include <filesystem>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/error.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/paths.h"

namespace quantized {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::filesystem::path Golden(std::string_view name) { return testing::GoldenDir() / name; }

ImportanceMatrix Opened(const std::filesystem::path& path,
                        const ImportanceMatrix::Filter& filter = {}) {
  const auto file = OpenImportanceFile(path);
  EXPECT_TRUE(file.ok()) << file.status();
  auto matrix = ImportanceMatrix::Make(*file, path.filename().string(), filter);
  EXPECT_TRUE(matrix.ok()) << matrix.status();
  return *std::move(matrix);
}

std::vector<std::string> NamesOf(const ImportanceMatrix& matrix) {
  std::vector<std::string> names;
  for (const auto& [name, weights] : matrix.entries()) names.push_back(name);
  return names;
}

// A file of the older form with one-value entries.
class SmallFile {
 public:
  struct Entry {
    std::string name;
    float weight;
  };
  explicit SmallFile(const std::vector<Entry>& entries, std::string_view tail = "") {
    Number(static_cast<int32_t>(entries.size()));
    for (const Entry& entry : entries) {
      Number(static_cast<int32_t>(entry.name.size()));
      text_ += entry.name;
      Number(int32_t{1});  // calls
      Number(int32_t{1});  // values
      Number(entry.weight);
    }
    text_ += tail;
  }

  absl::StatusOr<ImportanceMatrix> Open(const ImportanceMatrix::Filter& filter = {}) const {
    const auto file = ReadImportanceFile(MemoryBytes("m.dat", std::as_bytes(std::span(text_))));
    if (!file.ok()) return file.status();
    return ImportanceMatrix::Make(*file, "m.dat", filter);
  }

 private:
  template <typename T>
  void Number(T number) {
    text_.append(reinterpret_cast<const char*>(&number), sizeof(number));
  }
  std::string text_;
};

TEST(ImportanceMatrixTest, WeightsAreThoseOfTheReference) {
  const auto hash = [](std::string_view name) { return Opened(Golden(name)).Hash(); };
  EXPECT_EQ(hash("imatrix/dense.gguf"),
            "3c3e051692edd1604af08145400884885b9a4ceebc63d16d4bdda0dd3b81116f");
  EXPECT_EQ(hash("imatrix/dense.dat"),
            "3c3e051692edd1604af08145400884885b9a4ceebc63d16d4bdda0dd3b81116f");
  EXPECT_EQ(hash("imatrix/experts.gguf"),
            "0c46cf63a1c9714448a2ab3b5d1c885c2aaddee007179967912469001d030596");
  EXPECT_EQ(hash("gguf/reference-writer.gguf"),
            "07726d82ceba86a9f01aa1699541737dca7f3a70b704fbb01dddcf2bb19ec3ad");
}

TEST(ImportanceMatrixTest, WeightsOfTheLargeSetAreThoseOfTheReference) {
  const auto golden = testing::LargeGoldenDir();
  if (!golden) GTEST_SKIP() << "QUANTIZED_GOLDEN names no large golden set";
  const auto hash = [&](std::string_view name) {
    return Opened(*golden / "gguf/nano" / name).Hash();
  };
  EXPECT_EQ(hash("nano-dense-f16.imatrix.gguf"),
            "0103836c29403321cc115bed35b89f2bcd35d1be669a966d0c3902f40b6bc363");
  EXPECT_EQ(hash("nano-dense-f16.imatrix.dat"),
            "0103836c29403321cc115bed35b89f2bcd35d1be669a966d0c3902f40b6bc363");
  EXPECT_EQ(hash("nano-moe8-f32f16.imatrix.gguf"),
            "1084caf2b5fb16f5102cc2bb3165cd2d0578df6a6e3b80902b4ce8b274c6e835");
}

TEST(ImportanceMatrixTest, BothFormsOfTheSameDataAreTheSame) {
  const ImportanceMatrix gguf = Opened(Golden("imatrix/dense.gguf"));
  const ImportanceMatrix legacy = Opened(Golden("imatrix/dense.dat"));
  EXPECT_EQ(gguf.entries(), legacy.entries());
  for (const ImportanceMatrix* matrix : {&gguf, &legacy}) {
    EXPECT_EQ(matrix->entries().size(), 11u);
    EXPECT_EQ(matrix->dataset(), "calibration.txt");
    EXPECT_EQ(matrix->chunks(), 20u);
  }
}

TEST(ImportanceMatrixTest, ExpertWithoutTokensWeighsAllColumnsTheSame) {
  const ImportanceMatrix matrix = Opened(Golden("imatrix/experts.gguf"));
  const auto weights = matrix.Find("blk.0.ffn_gate_exps.weight", 256, 8);
  ASSERT_TRUE(weights.ok()) << weights.status();
  ASSERT_EQ(weights->size(), 8u * 256);
  EXPECT_THAT(weights->last(256), Each(1.0f));
  EXPECT_NE(weights->front(), 1.0f);
}

TEST(ImportanceMatrixTest, FindTakesEntriesOfTheTensorsSizeOnly) {
  const auto matrix =
      SmallFile(
          {{"blk.0.a.weight", 2}, {"token_embd.weight", 3}, {"per_layer_token_embd.weight", 4}})
          .Open();
  ASSERT_TRUE(matrix.ok()) << matrix.status();
  EXPECT_THAT(*matrix->Find("blk.0.a.weight", 1, 1), ElementsAre(2));
  EXPECT_THAT(*matrix->Find("blk.0.b.weight", 1, 1), IsEmpty());
  EXPECT_THAT(*matrix->Find("token_embd.weight", 1, 1), ElementsAre(3));
  EXPECT_THAT(*matrix->Find("token_embd.weight", 2, 1), IsEmpty());
  EXPECT_THAT(*matrix->Find("per_layer_token_embd.weight", 2, 1), IsEmpty());
  const auto refused = matrix->Find("blk.0.a.weight", 32, 4);
  EXPECT_EQ(ErrorOf(refused.status()), Error::kValidationFailed);
  EXPECT_EQ(refused.status().message(),
            "m.dat: entry blk.0.a.weight has 1 weights, the tensor needs 32 * 4 (columns * "
            "matrices)");
  // 2^64 + 1 is no 1.
  EXPECT_FALSE(matrix->Find("blk.0.a.weight", (uint64_t{1} << 32) + 1, uint64_t{1} << 32).ok());
}

TEST(ImportanceMatrixTest, FilterLooksForPartsOfNames) {
  const SmallFile file({{"blk.0.a", 1}, {"blk.0.b", 1}, {"blk.1.a", 1}, {"output", 1}});
  EXPECT_THAT(NamesOf(*file.Open({.include = {}, .exclude = {"blk.1", "put"}})),
              ElementsAre("blk.0.a", "blk.0.b"));
  EXPECT_THAT(NamesOf(*file.Open({.include = {".a", "output"}, .exclude = {}})),
              ElementsAre("blk.0.a", "blk.1.a", "output"));
  EXPECT_THAT(NamesOf(*file.Open({.include = {"blk"}, .exclude = {".a"}})), ElementsAre("blk.0.b"));
  EXPECT_TRUE(file.Open({.include = {"none"}, .exclude = {}})->empty());
}

TEST(ImportanceMatrixTest, WeightsMustBeFiniteAndNotNegative) {
  for (const float bad :
       {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN(), -1.0f}) {
    const SmallFile file({{"good", 1}, {"odd", bad}});
    const auto refused = file.Open();
    EXPECT_EQ(ErrorOf(refused.status()), Error::kValidationFailed);
    EXPECT_THAT(std::string(refused.status().message()),
                HasSubstr("m.dat: entry odd: weight 0 is "));
    // What is filtered away need not be good.
    EXPECT_TRUE(file.Open({.include = {}, .exclude = {"odd"}}).ok());
  }
  EXPECT_TRUE(SmallFile({{"zero", 0.0f}, {"much", 1e35f}}).Open().ok());
}

TEST(ImportanceMatrixTest, MissingFileNamesTheOption) {
  const testing::TempDir folder;
  const auto missing = OpenImportanceFile(folder.path() / "none.gguf");
  EXPECT_EQ(ErrorOf(missing.status()), Error::kInvalidArgument);
  EXPECT_EQ(missing.status().message(),
            "--imatrix " + (folder.path() / "none.gguf").string() + ": no such file");
  const auto no_file = OpenImportanceFile(folder.path());
  EXPECT_EQ(ErrorOf(no_file.status()), Error::kIo);
}

TEST(ImportanceMatrixTest, HashCoversNamesAndWeightsOfWhatIsKept) {
  const std::string one = SmallFile({{"a", 1}, {"b", 2}}).Open()->Hash();
  EXPECT_EQ(one.size(), 64u);
  EXPECT_EQ(SmallFile({{"b", 2}, {"a", 1}}).Open()->Hash(), one);  // order in the file
  EXPECT_EQ(
      SmallFile({{"a", 1}, {"b", 2}, {"c", 3}}).Open({.include = {}, .exclude = {"c"}})->Hash(),
      one);
  EXPECT_NE(SmallFile({{"a", 1}, {"b", 3}}).Open()->Hash(), one);
  EXPECT_NE(SmallFile({{"a", 1}, {"c", 2}}).Open()->Hash(), one);
}

TEST(ImportanceMatrixTest, MetadataTellsOfTheMatrix) {
  const std::string path(200, 'p');
  gguf::Metadata metadata({{"quantize.imatrix.file", std::string("of an earlier quantization")},
                           {"general.name", std::string("m")}});
  const ImportanceMatrix matrix =
      Opened(Golden("imatrix/dense.gguf"), {.include = {}, .exclude = {"output.weight"}});
  matrix.AppendMetadata(path, metadata);
  EXPECT_EQ(metadata, gguf::Metadata({{"general.name", std::string("m")},
                                      {"quantize.imatrix.file", std::string(127, 'p')},
                                      {"quantize.imatrix.dataset", std::string("calibration.txt")},
                                      {"quantize.imatrix.entries_count", uint32_t{9}},
                                      {"quantize.imatrix.chunks_count", uint32_t{20}}}));
}

TEST(ImportanceMatrixTest, MetadataLeavesOutWhatIsNotKnown) {
  gguf::Metadata metadata;
  SmallFile({{"a", 1}}).Open()->AppendMetadata("m.dat", metadata);
  EXPECT_EQ(metadata, gguf::Metadata({{"quantize.imatrix.file", std::string("m.dat")},
                                      {"quantize.imatrix.entries_count", uint32_t{1}}}));
  gguf::Metadata of_empty;
  SmallFile({{"a", 1}}).Open({.include = {"b"}, .exclude = {}})->AppendMetadata("m.dat", of_empty);
  EXPECT_EQ(of_empty, gguf::Metadata());
}

}  // namespace
}  // namespace quantized
