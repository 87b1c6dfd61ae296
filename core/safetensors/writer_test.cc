#include "core/safetensors/writer.h"

#include <algorithm>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/safetensors/reader.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/support/paths.h"

namespace quantized::safetensors {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

// Bytes of a tensor that no other has.
std::string DataOf(size_t tensor, uint64_t size_bytes) {
  std::string data(size_bytes, '\0');
  for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<char>(37 * tensor + i + 1);
  return data;
}

// The files' bytes, each tensor written at its offset, the last one first.
std::vector<std::string> Write(const SafetensorsLayout& layout) {
  std::vector<std::string> files;
  for (const PlannedFile& file : layout.files) {
    files.emplace_back(file.size_bytes, '\0').replace(0, file.header.size(), file.header);
  }
  for (size_t i = layout.tensors.size(); i-- > 0;) {
    const auto& [file, offset, size_bytes] = layout.tensors[i];
    EXPECT_LE(offset + size_bytes, files[file].size());
    files[file].replace(offset, size_bytes, DataOf(i, size_bytes));
  }
  return files;
}

// What the reader finds in the files is what was planned.
void ExpectReadsBack(const SafetensorsLayout& layout, std::span<const PlannedTensor> tensors) {
  const std::vector<std::string> files = Write(layout);
  size_t found = 0;
  for (size_t f = 0; f < files.size(); ++f) {
    SCOPED_TRACE(layout.files[f].name);
    const auto reader = SafetensorsReader::Open(
        MemoryBytes(layout.files[f].name, std::as_bytes(std::span(files[f]))));
    ASSERT_TRUE(reader.ok()) << reader.status();
    EXPECT_THAT((*reader)->metadata(), ElementsAre(std::pair("format", "pt")));
    EXPECT_EQ((*reader)->header_bytes() % 8, 0u);
    EXPECT_THAT((*reader)->tensors(), SizeIs(layout.files[f].tensor_count));
    for (size_t i = 0; i < layout.files[f].tensor_count; ++i, ++found) {
      const size_t t = layout.files[f].first_tensor + i;
      EXPECT_EQ(t, found);
      const TensorInfo* info = (*reader)->Find(tensors[t].name);
      ASSERT_NE(info, nullptr) << tensors[t].name;
      EXPECT_EQ(info->dtype, tensors[t].dtype);
      EXPECT_EQ(info->shape, tensors[t].shape);
      std::string data(info->size_bytes, '\0');
      ASSERT_TRUE((*reader)->Read(*info, 0, std::as_writable_bytes(std::span(data))).ok());
      EXPECT_EQ(data, DataOf(t, layout.tensors[t].size_bytes));
    }
  }
  EXPECT_EQ(found, tensors.size());
}

std::vector<PlannedTensor> SomeTensors() {
  return {{"model.layers.0.q_proj.qweight", DType::kI32, {4, 8}},  // 128 bytes
          {"model.layers.0.q_proj.g_idx", DType::kI32, {32}},      // 128
          {"model.layers.0.q_proj.scales", DType::kF16, {1, 8}},   // 16
          {"model.norm.weight", DType::kF16, {3}},                 // 6
          {"model.embed_tokens.weight", DType::kBF16, {100, 2}},   // 400
          {"odd \"name\" \xC3\xA9", DType::kF32, {}},              // 4
          {"none", DType::kU8, {0, 7}},
          {"lm_head.weight", DType::kF16, {5, 2}}};  // 20
}

TEST(SafetensorsWriterTest, OneFileHoldsAllInTheOrderGiven) {
  const std::vector<PlannedTensor> tensors = SomeTensors();
  const auto layout = PlanSafetensors(tensors);
  ASSERT_TRUE(layout.ok()) << layout.status();
  ASSERT_THAT(layout->files, SizeIs(1));
  EXPECT_EQ(layout->files[0].name, "model.safetensors");
  EXPECT_EQ(layout->index, "");
  EXPECT_EQ(layout->total_bytes, 702u);
  EXPECT_EQ(layout->files[0].size_bytes, layout->files[0].header.size() + 702);
  uint64_t end = layout->files[0].header.size();
  for (const SafetensorsLayout::Placement& placement : layout->tensors) {
    EXPECT_EQ(placement.offset, end);
    end += placement.size_bytes;
  }
  ExpectReadsBack(*layout, tensors);
}

TEST(SafetensorsWriterTest, FilesAreSplitAtTheLimit) {
  const std::vector<PlannedTensor> tensors = SomeTensors();
  const auto layout = PlanSafetensors(tensors, /*max_file_bytes=*/272);
  ASSERT_TRUE(layout.ok()) << layout.status();
  std::vector<std::string> names;
  std::vector<size_t> counts;
  for (const PlannedFile& file : layout->files) {
    names.push_back(file.name);
    counts.push_back(file.tensor_count);
  }
  EXPECT_THAT(names,
              ElementsAre("model-00001-of-00004.safetensors", "model-00002-of-00004.safetensors",
                          "model-00003-of-00004.safetensors", "model-00004-of-00004.safetensors"));
  // Exactly full; what does not fit; one that is larger than the limit; the rest, with the empty
  // tensor where it stands.
  EXPECT_THAT(counts, ElementsAre(3, 1, 1, 3));
  ExpectReadsBack(*layout, tensors);

  const nlohmann::json index = nlohmann::json::parse(layout->index);
  EXPECT_EQ(index["metadata"]["total_size"], 702);
  ASSERT_EQ(index["weight_map"].size(), tensors.size());
  for (size_t i = 0; i < tensors.size(); ++i) {
    EXPECT_EQ(index["weight_map"][tensors[i].name], names[layout->tensors[i].file]);
  }
}

TEST(SafetensorsWriterTest, TheLargestAndTheSmallestLimit) {
  const std::vector<PlannedTensor> tensors = SomeTensors();
  const auto one = PlanSafetensors(tensors, ~uint64_t{0});
  ASSERT_TRUE(one.ok()) << one.status();
  EXPECT_THAT(one->files, SizeIs(1));
  const auto many = PlanSafetensors(tensors, 0);
  ASSERT_TRUE(many.ok()) << many.status();
  EXPECT_THAT(many->files, SizeIs(tensors.size() - 1));  // the empty one takes no room
  ExpectReadsBack(*many, tensors);
  const auto none = PlanSafetensors({}, 100);
  ASSERT_TRUE(none.ok()) << none.status();
  ExpectReadsBack(*none, {});
}

TEST(SafetensorsWriterTest, HeaderIsAlignedForEveryLengthOfName) {
  for (size_t length = 1; length <= 16; ++length) {
    const std::vector<PlannedTensor> tensors = {{std::string(length, 'n'), DType::kU8, {3}}};
    const auto layout = PlanSafetensors(tensors);
    ASSERT_TRUE(layout.ok());
    EXPECT_EQ(layout->files[0].header.size() % 8, 0u);
    ExpectReadsBack(*layout, tensors);
  }
}

TEST(SafetensorsWriterTest, TensorsThatCannotBeAreRefused) {
  struct Case {
    PlannedTensor tensor;
    std::string message;
  };
  const PlannedTensor a = {"a", DType::kF16, {2}};
  for (const auto& [tensor, message] :
       {Case{a, "tensor a: there twice"},
        Case{{"__metadata__", DType::kF16, {2}}, "tensor __metadata__: the name is reserved"},
        Case{{"\xFF", DType::kF16, {2}}, "the name is not UTF-8"},
        Case{{"b", DType::kF16, std::vector<uint64_t>(17, 1)},
             "tensor b: found 17 dimensions, expected at most 16"},
        Case{{"b", DType::kF64, {uint64_t{1} << 32, uint64_t{1} << 32}},
             "tensor b: shape [4294967296, 4294967296] overflows 62 bits"},
        Case{{"b", DType::kU8, {uint64_t{1} << 62}}, "overflows 62 bits"},
        Case{{"b", DType::kU8, {(uint64_t{1} << 62) - 2}},
             "tensor b: the files overflow 62 bits"}}) {
    const std::vector<PlannedTensor> tensors = {a, tensor};
    const auto layout = PlanSafetensors(tensors);
    ASSERT_FALSE(layout.ok()) << message;
    EXPECT_EQ(ErrorOf(layout.status()), Error::kValidationFailed);
    EXPECT_THAT(std::string(layout.status().message()), HasSubstr(message));
  }
  std::vector<PlannedTensor> many(100'000);
  for (size_t i = 0; i < many.size(); ++i) many[i].name = std::to_string(i);
  EXPECT_EQ(ErrorOf(PlanSafetensors(many, 0).status()), Error::kValidationFailed);
}

}  // namespace
}  // namespace quantized::safetensors
