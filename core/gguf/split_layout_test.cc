#include "core/gguf/split_layout.h"

#include <memory>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/gguf/reader.h"
#include "core/gguf/split.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/paths.h"

namespace quantized::gguf {
namespace {

using kernels::TypeId;
using ::testing::ElementsAre;
using ::testing::Pair;

PlannedTensor Floats(std::string name, uint64_t count) {
  return {std::move(name), TypeId::kF32, {count}};
}

// First tensor and how many, of each file.
std::vector<std::pair<size_t, size_t>> Ranges(const absl::StatusOr<std::vector<SplitFile>>& files) {
  std::vector<std::pair<size_t, size_t>> ranges;
  EXPECT_TRUE(files.ok()) << files.status();
  if (!files.ok()) return ranges;
  for (const SplitFile& file : *files) {
    EXPECT_EQ(file.layout.tensors.size(), file.tensor_count);
    ranges.emplace_back(file.first_tensor, file.tensor_count);
  }
  return ranges;
}

// A split model of the reference tools, of which the headers are committed.
struct ReferenceModel {
  Metadata metadata;  // without the keys of a split model
  std::vector<PlannedTensor> tensors;
  std::vector<uint32_t> file_of_tensor;
  std::vector<std::string> suffixes;
  std::vector<std::string> headers;
  std::vector<uint64_t> file_sizes;
};

void AddFile(const std::string& header, uint64_t size_bytes, ReferenceModel& model) {
  std::string bytes = header;
  bytes.resize(size_bytes);
  const auto parsed = ParseFileHeader(*MemoryBytes("m", std::as_bytes(std::span(bytes))));
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  if (model.headers.empty()) {
    model.metadata = parsed->metadata;
    for (const auto key : {kSplitNumberKey, kSplitCountKey, kSplitTensorsKey}) {
      model.metadata.Remove(key);
    }
  }
  for (const TensorInfo& tensor : parsed->tensors) {
    model.tensors.push_back({tensor.name, tensor.type, tensor.dims});
    model.file_of_tensor.push_back(static_cast<uint32_t>(model.headers.size()));
  }
  model.headers.push_back(header);
  model.file_sizes.push_back(size_bytes);
}

ReferenceModel Load(const std::string& name, const std::vector<uint64_t>& file_sizes) {
  ReferenceModel model;
  const auto count = static_cast<uint32_t>(file_sizes.size());
  for (uint32_t number = 1; number <= count; ++number) {
    model.suffixes.push_back(FormatSplitName({"", number, count}));
    auto path = testing::GoldenDir() / "gguf/split" / (name + model.suffixes.back());
    const auto header = ReadFile(path.replace_extension("header"), 1 << 20);
    EXPECT_TRUE(header.ok()) << header.status();
    if (header.ok()) AddFile(*header, file_sizes[number - 1], model);
  }
  return model;
}

void ExpectSame(const absl::StatusOr<std::vector<SplitFile>>& files, const ReferenceModel& model) {
  ASSERT_TRUE(files.ok()) << files.status();
  ASSERT_EQ(files->size(), model.headers.size());
  for (size_t i = 0; i < files->size(); ++i) {
    SCOPED_TRACE(i);
    const SplitFile& file = (*files)[i];
    EXPECT_EQ(file.suffix, model.suffixes[i]);
    EXPECT_EQ(file.layout.header, model.headers[i]);
    EXPECT_EQ(file.layout.file_size_bytes, model.file_sizes[i]);
  }
}

TEST(SplitBySizeTest, SameFilesAsTheReference) {
  const auto model = Load("by-size", {900256, 1000192, 1200160, 192});
  // One file is full to the byte, one holds a tensor that is larger than all may be.
  ExpectSame(PlanSplitBySize(model.metadata, model.tensors, 1'000'000), model);
}

TEST(SplitBySizeTest, ModelThatFitsIsOneFileOfOne) {
  const auto model = Load("one", {3100416});
  ExpectSame(PlanSplitBySize(model.metadata, model.tensors, 4'000'000), model);
}

TEST(SplitBySizeTest, PaddingCountsAndMetadataDoesNot) {
  const Metadata metadata({{"long", std::string(1000, 'x')}});
  const std::vector<PlannedTensor> tensors = {Floats("a", 1), Floats("b", 9), Floats("c", 1)};
  EXPECT_THAT(Ranges(PlanSplitBySize(metadata, tensors, 96)), ElementsAre(Pair(0, 2), Pair(2, 1)));
  EXPECT_THAT(Ranges(PlanSplitBySize(metadata, tensors, 128)), ElementsAre(Pair(0, 3)));
  EXPECT_THAT(Ranges(PlanSplitBySize(metadata, tensors, 95)),
              ElementsAre(Pair(0, 1), Pair(1, 1), Pair(2, 1)));
}

TEST(SplitBySizeTest, FirstTensorMustFit) {
  const auto files = PlanSplitBySize(Metadata(), std::vector{Floats("a", 9)}, 63);
  EXPECT_EQ(ErrorOf(files.status()), Error::kInvalidArgument);
  EXPECT_EQ(files.status().message(),
            "--split-max-size allows 63 bytes, the first tensor a takes 64");
}

TEST(SplitBySizeTest, KeysCountNoMoreFilesThanFit16Bits) {
  std::vector<PlannedTensor> tensors;
  for (int i = 0; i < 65536; ++i) tensors.push_back(Floats(std::to_string(i), 1));
  const auto files = PlanSplitBySize(Metadata(), tensors, 32);
  EXPECT_EQ(ErrorOf(files.status()), Error::kInvalidArgument);
  EXPECT_EQ(files.status().message(),
            "the model would be split into 65536 files, at most 65535 are possible");
}

TEST(SplitBySizeTest, NoTensorsAreOneFile) {
  EXPECT_THAT(Ranges(PlanSplitBySize(Metadata(), {}, 1)), ElementsAre(Pair(0, 0)));
}

TEST(KeptSplitTest, SameFilesAsTheReference) {
  const auto model = Load("kept", {1056, 1051712, 1048448, 865632});
  EXPECT_EQ(model.file_of_tensor.front(), 1u);  // the first file has metadata only
  ExpectSame(PlanKeptSplit(model.metadata, model.tensors, model.file_of_tensor), model);
}

TEST(KeptSplitTest, SingleFileHasTheNameButNoKeys) {
  const Metadata metadata({{"split.count", uint16_t{1}}, {"a", uint8_t{1}}});
  const std::vector<PlannedTensor> tensors = {Floats("a", 1)};
  const auto files = PlanKeptSplit(metadata, tensors, std::vector<uint32_t>{0});
  ASSERT_THAT(Ranges(files), ElementsAre(Pair(0, 1)));
  EXPECT_EQ(files->front().suffix, "-00001-of-00001.gguf");
  EXPECT_EQ(files->front().layout.header, Plan(Metadata({{"a", uint8_t{1}}}), tensors)->header);
}

TEST(KeptSplitTest, FilesMayLoseTheirTensors) {
  const std::vector<PlannedTensor> tensors = {Floats("a", 1), Floats("b", 1), Floats("c", 1)};
  EXPECT_THAT(Ranges(PlanKeptSplit(Metadata(), tensors, std::vector<uint32_t>{0, 2, 2})),
              ElementsAre(Pair(0, 1), Pair(1, 0), Pair(1, 2)));
  EXPECT_THAT(Ranges(PlanKeptSplit(Metadata(), {}, {})), ElementsAre(Pair(0, 0)));
}

TEST(SplitLayoutTest, NamesAreUniqueOverAllFiles) {
  const std::vector<PlannedTensor> tensors = {Floats("a", 8), Floats("a", 8)};
  for (const auto& files : {PlanSplitBySize(Metadata(), tensors, 32),
                            PlanKeptSplit(Metadata(), tensors, std::vector<uint32_t>{0, 1})}) {
    EXPECT_EQ(ErrorOf(files.status()), Error::kValidationFailed);
    EXPECT_EQ(files.status().message(), "tensor a: there twice");
  }
}

// Each file's alignment is that of its own metadata, as a reader of the file takes it.
TEST(SplitLayoutTest, AlignmentIsThatOfTheFirstFileOnly) {
  const Metadata metadata({{"general.alignment", uint32_t{128}}});
  const std::vector<PlannedTensor> tensors = {Floats("a", 1), Floats("b", 1), Floats("c", 1),
                                              Floats("d", 1)};
  const auto files = PlanSplitBySize(metadata, tensors, 64);
  ASSERT_THAT(Ranges(files), ElementsAre(Pair(0, 2), Pair(2, 2)));
  const auto distance = [](const GgufLayout& layout) {
    return layout.tensors[1].offset - layout.tensors[0].offset;
  };
  EXPECT_EQ(distance(files->front().layout), 128u);
  EXPECT_EQ(distance(files->back().layout), 32u);
}

}  // namespace
}  // namespace quantized::gguf
