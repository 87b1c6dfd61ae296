// Tests of core/tensor.
#include <array>
#include <limits>
#include <set>
#include <string>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/tensor/byte_source.h"
#include "core/tensor/dtype.h"
#include "core/tensor/shape.h"
#include "core/tensor/text.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/paths.h"

namespace quantized {
namespace {

using ::testing::HasSubstr;

constexpr uint64_t kMax = std::numeric_limits<uint64_t>::max();

TEST(DTypeTest, EachRowIsFoundByItsNameOnly) {
  std::set<std::string_view> torch_names;
  for (const DTypeRow& row : AllDTypes()) {
    SCOPED_TRACE(row.name);
    EXPECT_EQ(FindDType(row.name), &row);
    EXPECT_EQ(&RowOf(row.dtype), &row);
    EXPECT_TRUE(torch_names.insert(row.torch_name).second);
  }
  EXPECT_EQ(FindDType("f16"), nullptr);
  EXPECT_EQ(FindDType("F4"), nullptr);
  EXPECT_EQ(FindDType(""), nullptr);
}

TEST(ShapeTest, CountsElementsAndSeesOverflow) {
  using Dims = std::vector<uint64_t>;
  EXPECT_EQ(ElementCount(Dims{}), 1u);
  EXPECT_EQ(ElementCount(Dims{49152, 576}), 28311552u);
  EXPECT_EQ(ElementCount(Dims{kMax, kMax, 0}), 0u);
  EXPECT_EQ(ElementCount(Dims{uint64_t{1} << 32, uint64_t{1} << 31}), uint64_t{1} << 63);
  EXPECT_EQ(ElementCount(Dims{uint64_t{1} << 32, uint64_t{1} << 32}), std::nullopt);
  EXPECT_EQ(ShapeText(Dims{49152, 576}), "[49152, 576]");
  EXPECT_EQ(ShapeText(Dims{}), "[]");
}

TEST(ShapeTest, ArithmeticSeesOverflow) {
  EXPECT_EQ(CheckedAdd(kMax, 0), kMax);
  EXPECT_EQ(CheckedAdd(kMax, 1), std::nullopt);
  EXPECT_EQ(CheckedMultiply(kMax, 1), kMax);
  EXPECT_EQ(CheckedMultiply(kMax / 2 + 1, 2), std::nullopt);
  EXPECT_EQ(CheckedAlignUp(0, 32), 0u);
  EXPECT_EQ(CheckedAlignUp(1, 32), 32u);
  EXPECT_EQ(CheckedAlignUp(32, 32), 32u);
  EXPECT_EQ(CheckedAlignUp(kMax - 30, 32), std::nullopt);
}

TEST(ByteSourceTest, FileAndMemoryReadTheSame) {
  const testing::TempDir folder;
  const std::string text = "0123456789";
  ASSERT_TRUE(WriteFileAtomically(folder.path() / "digits", text).ok());
  const auto file = OpenFileBytes(folder.path() / "digits");
  ASSERT_TRUE(file.ok());
  const auto memory = MemoryBytes("digits", std::as_bytes(std::span(text)));
  for (const ByteSource* source : {file->get(), memory.get()}) {
    EXPECT_EQ(source->name(), "digits");
    EXPECT_EQ(source->size_bytes(), 10u);
    std::array<char, 3> out;
    ASSERT_TRUE(source->ReadAt(7, std::as_writable_bytes(std::span(out))).ok());
    EXPECT_EQ(std::string_view(out.data(), 3), "789");
    const absl::Status status = source->ReadAt(8, std::as_writable_bytes(std::span(out)));
    EXPECT_EQ(ErrorOf(status), Error::kValidationFailed);
    EXPECT_THAT(std::string(status.message()), HasSubstr("ends at byte 10"));
    EXPECT_FALSE(source->ReadAt(kMax, std::as_writable_bytes(std::span(out))).ok());
    Sha256 hash;
    ASSERT_TRUE(HashBytes(*source, 1, 8, hash).ok());
    EXPECT_EQ(hash.HexDigest(), Sha256Hex("12345678"));
  }
}

TEST(ByteSourceTest, MissingFileAndFolder) {
  const testing::TempDir folder;
  EXPECT_EQ(ErrorOf(OpenFileBytes(folder.path() / "none").status()), Error::kModelNotFound);
  EXPECT_EQ(ErrorOf(OpenFileBytes(folder.path()).status()), Error::kIo);
}

TEST(ByteSourceTest, KnowsGitLfsPointers) {
  const std::string pointer =
      "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n";
  const std::string other = "version https://git-lfs.github.com/spec/v2\noid sha256:00\nsize 12\n";
  const auto is_pointer = [](const std::string& text) {
    return *IsGitLfsPointer(*MemoryBytes("x", std::as_bytes(std::span(text))));
  };
  EXPECT_TRUE(is_pointer(pointer));
  EXPECT_FALSE(is_pointer(other));
  EXPECT_FALSE(is_pointer(pointer.substr(0, 20)));
  const auto source = MemoryBytes("m.gguf", std::as_bytes(std::span(pointer)));
  const absl::Status status = GitLfsPointerError(*source, "a GGUF file");
  EXPECT_EQ(status.message(), "m.gguf: git-lfs pointer instead of a GGUF file: run git lfs pull");
  EXPECT_EQ(ErrorOf(status), Error::kValidationFailed);
}

TEST(TextTest, NamesBecomePrintable) {
  EXPECT_EQ(PrintableName("model.norm.weight"), "model.norm.weight");
  EXPECT_EQ(PrintableName("a\x1b[2J\n\"\xff"), "a\\x1b[2J\\n\\\"\\xff");
  EXPECT_EQ(PrintableName("ß"), "\\xc3\\x9f");
  EXPECT_EQ(PrintableName(std::string(120, 'x')), std::string(120, 'x'));
  EXPECT_EQ(PrintableName(std::string(1000, 'x')), std::string(120, 'x') + "...");
}

TEST(TextTest, BytesAreInDecimalUnits) {
  EXPECT_EQ(HumanBytes(0), "0.0 MB");
  EXPECT_EQ(HumanBytes(2'540'000), "2.5 MB");
  EXPECT_EQ(HumanBytes(1'249'999'999), "1.2 GB");
}

}  // namespace
}  // namespace quantized
