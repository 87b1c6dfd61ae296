// Files of the reference tools: read, planned again, and compared byte for byte with what they
// hold.
#include <filesystem>
#include <string>
#include <vector>

#include "core/base/file.h"
#include "core/gguf/layout.h"
#include "core/gguf/reader.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/support/paths.h"

namespace quantized::gguf {
namespace {

std::vector<PlannedTensor> PlannedAgain(const GgufReader& reader) {
  std::vector<PlannedTensor> planned;
  for (const TensorInfo& tensor : reader.tensors()) {
    planned.push_back({tensor.name, tensor.type, tensor.dims});
  }
  return planned;
}

// Demands that the plan of the file's own metadata and tensors is the file.
void ExpectSamePlan(const std::filesystem::path& path) {
  SCOPED_TRACE(path);
  const auto reader = GgufReader::Open(path);
  ASSERT_TRUE(reader.ok()) << reader.status();
  ASSERT_FALSE((*reader)->tensors().empty());
  const auto layout = Plan((*reader)->metadata(), PlannedAgain(**reader));
  ASSERT_TRUE(layout.ok()) << layout.status();
  for (size_t i = 0; i < layout->tensors.size(); ++i) {
    EXPECT_EQ(layout->tensors[i].offset, (*reader)->tensors()[i].offset);
    EXPECT_EQ(layout->tensors[i].size_bytes, (*reader)->tensors()[i].size_bytes);
  }
  const auto file = ReadFile(path, 1 << 30);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(layout->file_size_bytes, file->size());
  EXPECT_TRUE(layout->header == file->substr(0, layout->data_start)) << "headers differ";
}

TEST(GgufGoldenTest, CommittedFileIsPlannedAsTheReferenceWroteIt) {
  ExpectSamePlan(testing::GoldenDir() / "gguf/reference-writer.gguf");
}

TEST(GgufGoldenTest, LargeSetIsPlannedAsTheReferenceWroteIt) {
  const auto golden = testing::LargeGoldenDir();
  if (!golden) GTEST_SKIP() << "QUANTIZED_GOLDEN names no large golden set";
  int files = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(*golden / "gguf")) {
    if (entry.path().extension() != ".gguf") continue;
    ExpectSamePlan(entry.path());
    ++files;
  }
  EXPECT_GE(files, 7);
}

// The conversions are stored as lists of tensors with their offsets, not as files.
TEST(GgufGoldenTest, TensorsOfConversionsLieWhereTheReferencePutThem) {
  const auto golden = testing::LargeGoldenDir();
  if (!golden) GTEST_SKIP() << "QUANTIZED_GOLDEN names no large golden set";
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(*golden / "hf2gguf/golden")) {
    SCOPED_TRACE(entry.path());
    const auto text = ReadFile(entry.path(), 64 << 20);
    ASSERT_TRUE(text.ok()) << text.status();
    const auto json = nlohmann::json::parse(*text, nullptr, /*allow_exceptions=*/false);
    ASSERT_TRUE(json.contains("out"));
    for (const auto& [type, out] : json["out"].items()) {
      SCOPED_TRACE(type);
      std::vector<PlannedTensor> planned;
      for (const auto& tensor : out["tensors"]) {
        const auto* row = kernels::FindQuantType(tensor["type"].get<std::string>());
        ASSERT_NE(row, nullptr) << tensor["type"];
        planned.push_back({tensor["name"], row->id, tensor["ne"]});
      }
      const auto layout = Plan(Metadata(), planned);
      ASSERT_TRUE(layout.ok()) << layout.status();
      for (size_t i = 0; i < planned.size(); ++i) {
        EXPECT_EQ(layout->tensors[i].offset - layout->data_start, out["tensors"][i]["offset"]);
        EXPECT_EQ(layout->tensors[i].size_bytes, out["tensors"][i]["nbytes"]);
      }
    }
    ++files;
  }
  EXPECT_GE(files, 18);
}

}  // namespace
}  // namespace quantized::gguf
