#include "core/gguf/reader.h"

#include <limits>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/gguf/layout.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/gguf_bytes.h"
#include "tests/support/paths.h"

namespace quantized::gguf {
namespace {

using kernels::TypeId;
using ::testing::ElementsAre;
using testing::GgufBytes;
using ::testing::HasSubstr;
using ::testing::SizeIs;
using ::testing::StartsWith;

// A reader over `file`, which must outlive it, called "m.gguf".
absl::StatusOr<std::unique_ptr<GgufReader>> OpenMemory(const std::string& file) {
  return GgufReader::Open(MemoryBytes("m.gguf", std::as_bytes(std::span(file))));
}

// One pair of each type, arrays of each type, and two tensors.
std::string EverythingFile(uint32_t version) {
  GgufBytes bytes(2, 26, version);
  bytes.Key("u8", 0).Number(uint8_t{200}).Key("i8", 1).Number(int8_t{-2});
  bytes.Key("u16", 2).Number(uint16_t{60000}).Key("i16", 3).Number(int16_t{-3});
  bytes.Key("u32", 4).Number(uint32_t{7}).Key("i32", 5).Number(int32_t{-4});
  bytes.Key("f32", 6).Number(1.5f).Key("bool", 7).Raw("\x01");
  bytes.Key("string", 8).String("text").Key("u64", 10).Number(uint64_t{1} << 40);
  bytes.Key("i64", 11).Number(int64_t{-5}).Key("f64", 12).Number(0.25);
  const auto array = [&](std::string_view key, uint32_t type) -> GgufBytes& {
    return bytes.Key(key, 9).Number(type).Number(uint64_t{2});
  };
  array("u8s", 0).Raw("ab");
  array("i8s", 1).Raw("ab");
  array("u16s", 2).Raw("abcd");
  array("i16s", 3).Raw("abcd");
  array("u32s", 4).Raw("abcdefgh");
  array("i32s", 5).Raw("abcdefgh");
  array("f32s", 6).Number(1.0f).Number(-1.0f);
  array("bools", 7).Raw(std::string_view("\x00\x01", 2));
  array("strings", 8).String("").String("\xff");
  array("u64s", 10).Raw("abcdefghijklmnop");
  array("i64s", 11).Raw("abcdefghijklmnop");
  array("f64s", 12).Number(1.0).Number(2.0);
  bytes.Key("none", 9).Number(uint32_t{8}).Number(uint64_t{0});
  bytes.Key("last", 4).Number(uint32_t{1});
  bytes.Tensor("b.weight", {2, 2}, 0, 32).Tensor("a", {5}, 24, 0);
  return bytes.Data("01234" + std::string(27, '\0') + "0123456789abcdef");
}

TEST(GgufReaderTest, ReadsEveryTypeOfValue) {
  for (const uint32_t version : {2u, 3u}) {
    const std::string file = EverythingFile(version);
    const auto reader = OpenMemory(file);
    ASSERT_TRUE(reader.ok()) << reader.status();
    EXPECT_EQ((*reader)->version(), version);
    const Metadata& metadata = (*reader)->metadata();
    EXPECT_THAT(metadata.entries(), SizeIs(26));
    EXPECT_EQ(*metadata.Get<int8_t>("i8"), -2);
    EXPECT_EQ(*metadata.Get<uint16_t>("u16"), 60000);
    EXPECT_EQ(*metadata.Get<float>("f32"), 1.5f);
    EXPECT_EQ(*metadata.Get<bool>("bool"), true);
    EXPECT_EQ(*metadata.Get<std::string>("string"), "text");
    EXPECT_EQ(*metadata.Get<double>("f64"), 0.25);
    EXPECT_EQ(*metadata.Get<Array>("bools"), Array(std::vector<Bool>{{0}, {1}}));
    EXPECT_EQ(*metadata.Get<Array>("strings"), Array(std::vector<std::string>{"", "\xff"}));
    EXPECT_EQ(*metadata.Get<Array>("none"), Array(std::vector<std::string>{}));
  }
}

TEST(GgufReaderTest, ReadsTensorsWhereTheyLie) {
  const std::string file = EverythingFile(3);
  const auto reader = OpenMemory(file);
  ASSERT_TRUE(reader.ok()) << reader.status();
  const auto tensors = (*reader)->tensors();
  ASSERT_THAT(tensors, SizeIs(2));
  EXPECT_EQ(tensors[0].name, "b.weight");
  EXPECT_EQ(tensors[0].type, TypeId::kF32);
  EXPECT_THAT(tensors[0].dims, ElementsAre(2, 2));
  EXPECT_EQ(tensors[0].size_bytes, 16u);
  std::string bytes(4, '\0');
  ASSERT_TRUE((*reader)->Read(tensors[0], 10, std::as_writable_bytes(std::span(bytes))).ok());
  EXPECT_EQ(bytes, "abcd");
  ASSERT_TRUE((*reader)->Read(tensors[1], 1, std::as_writable_bytes(std::span(bytes))).ok());
  EXPECT_EQ(bytes, "1234");
}

TEST(GgufReaderTest, PlannedHeaderOfTheSameModelHasTheSameBytes) {
  const std::string file = EverythingFile(3);
  const auto reader = OpenMemory(file);
  ASSERT_TRUE(reader.ok()) << reader.status();
  // In the order of the data, which is the order in which Plan lays it out.
  const auto tensors = (*reader)->tensors();
  const std::vector<PlannedTensor> planned = {{tensors[1].name, tensors[1].type, tensors[1].dims},
                                              {tensors[0].name, tensors[0].type, tensors[0].dims}};
  const auto layout = Plan((*reader)->metadata(), planned);
  ASSERT_TRUE(layout.ok()) << layout.status();
  const std::string rewritten = layout->header + file.substr(layout->data_start);
  const auto again = OpenMemory(rewritten);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ((*again)->metadata(), (*reader)->metadata());
  EXPECT_EQ((*again)->tensors()[0].offset, tensors[1].offset);
  EXPECT_EQ((*again)->tensors()[1].offset, tensors[0].offset);
}

TEST(GgufReaderTest, HonoursTheAlignmentKey) {
  const std::string file = GgufBytes(1, 1)
                               .Key("general.alignment", 4)
                               .Number(uint32_t{8})
                               .Tensor("t", {4}, 24, 8)
                               .Data("........tens", 8);
  const auto reader = OpenMemory(file);
  ASSERT_TRUE(reader.ok()) << reader.status();
  std::string bytes(4, '\0');
  ASSERT_TRUE(
      (*reader)->Read((*reader)->tensors()[0], 0, std::as_writable_bytes(std::span(bytes))).ok());
  EXPECT_EQ(bytes, "tens");
}

TEST(GgufReaderTest, ManyStringsAreReadThroughTheWindow) {
  constexpr uint64_t kCount = 260'000;
  GgufBytes builder(0, 1);
  builder.Key("tokenizer.ggml.tokens", 9).Number(uint32_t{8}).Number(kCount);
  for (uint64_t i = 0; i < kCount; ++i) builder.String("token " + std::to_string(i));
  const std::string file = builder;
  const auto reader = OpenMemory(file);
  ASSERT_TRUE(reader.ok()) << reader.status();
  const auto& tokens = std::get<std::vector<std::string>>(
      *(*reader)->metadata().Get<Array>("tokenizer.ggml.tokens"));
  ASSERT_THAT(tokens, SizeIs(kCount));
  EXPECT_EQ(tokens.front(), "token 0");
  EXPECT_EQ(tokens.back(), "token 259999");
}

TEST(GgufReaderTest, NoTruncationOfAGoodFileIsAccepted) {
  const std::string file = EverythingFile(3);
  for (size_t size = 0; size < file.size(); ++size) {
    EXPECT_FALSE(OpenMemory(file.substr(0, size)).ok()) << size;
  }
}

struct HostileCase {
  std::string name, file, message;
};

class HostileGgufTest : public ::testing::TestWithParam<HostileCase> {};

TEST_P(HostileGgufTest, IsRefusedWithItsMessage) {
  const auto reader = OpenMemory(GetParam().file);
  ASSERT_FALSE(reader.ok());
  EXPECT_EQ(ErrorOf(reader.status()), Error::kValidationFailed);
  EXPECT_THAT(std::string(reader.status().message()), StartsWith("m.gguf: " + GetParam().message));
}

constexpr uint64_t kHuge = std::numeric_limits<uint64_t>::max();

std::vector<HostileCase> HeaderCases() {
  return {
      {"Empty", "", "file is empty"},
      {"GitLfsPointer", "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
       "git-lfs pointer instead of a GGUF file: run git lfs pull"},
      {"Magic", "GGML" + std::string(100, '\0'),
       "not a GGUF file: begins with 'GGML', expected 'GGUF'"},
      {"TwoBytes", "GG", "needs 4 bytes at byte 0, file has 2 left"},
      {"Version1", GgufBytes(0, 0, 1), "version 1, expected 2 or 3"},
      {"Version4", GgufBytes(0, 0, 4), "version 4, expected 2 or 3"},
      {"BigEndian", GgufBytes(0, 0, 3u << 24), "big-endian files are not accepted"},
      {"HugePairCount", GgufBytes(0, kHuge), "metadata count 18446744073709551615: needs"},
      {"PairCount", GgufBytes(0, 2).Key("a", 0).Raw("1"),
       "metadata count 2: needs 2 entries of at least 13 bytes at byte 24, file has 14 left"},
      {"TooManyPairs", GgufBytes(0, 65537).Raw(std::string(65537 * 13, '\0')),
       "metadata count 65537, at most 65536 are accepted"},
      {"HugeTensorCount", GgufBytes(kHuge, 0), "tensor count 18446744073709551615: needs"},
      {"TooManyTensors", GgufBytes(262145, 0).Raw(std::string(262145 * 32, '\0')),
       "tensor count 262145, at most 262144 are accepted"},
      {"HugeKey", GgufBytes(0, 1).Number(kHuge).Raw("12345678"),
       "metadata key 0: needs 18446744073709551615 bytes at byte 32, file has 8 left"},
      {"KeyTwice", GgufBytes(0, 2).Key("a", 0).Raw("1").Key("a", 0).Raw("2"),
       "metadata key a is there twice"},
      {"ValueType", GgufBytes(0, 1).Key("a", 13).Raw("12345678"),
       "metadata key a: value type 13 is unknown"},
      {"Bool", GgufBytes(0, 1).Key("a", 7).Raw("\x02"),
       "metadata key a: bool is 2, expected 0 or 1"},
      {"HugeString", GgufBytes(0, 1).Key("a", 8).Number(kHuge - 7),
       "metadata key a: needs 18446744073709551608 bytes"},
      {"HugeArray", GgufBytes(0, 1).Key("a", 9).Number(uint32_t{4}).Number(kHuge / 2),
       "metadata key a: needs 9223372036854775807 entries of at least 4 bytes"},
      {"HugeStringArray", GgufBytes(0, 1).Key("a", 9).Number(uint32_t{8}).Number(uint64_t{3}),
       "metadata key a: needs 3 entries of at least 8 bytes at byte 49, file has 0 left"},
      {"StringInArray",
       GgufBytes(0, 1)
           .Key("a", 9)
           .Number(uint32_t{8})
           .Number(uint64_t{2})
           .String("x")
           .Number(uint64_t{9}),
       "metadata key a: element 1: needs 9 bytes"},
      {"BoolArray",
       GgufBytes(0, 1).Key("a", 9).Number(uint32_t{7}).Number(uint64_t{2}).Raw("\x01\x05"),
       "metadata key a: element 1 is 5, expected 0 or 1"},
      {"NestedArray",
       GgufBytes(0, 1).Key("a", 9).Number(uint32_t{9}).Number(uint64_t{1}).Raw(std::string(32, 0)),
       "metadata key a: an array of arrays is not accepted"},
      {"ElementType",
       GgufBytes(0, 1).Key("a", 9).Number(uint32_t{77}).Number(uint64_t{1}).Raw("12345678"),
       "metadata key a: array element type 77 is unknown"},
      {"AlignmentZero", GgufBytes(0, 1).Key("general.alignment", 4).Number(uint32_t{0}),
       "metadata key general.alignment is 0, expected a power of two"},
      {"AlignmentOdd", GgufBytes(0, 1).Key("general.alignment", 4).Number(uint32_t{48}),
       "metadata key general.alignment is 48, expected a power of two"},
      {"AlignmentHuge", GgufBytes(0, 1).Key("general.alignment", 4).Number(uint32_t{1u << 31}),
       "metadata key general.alignment is 2147483648, expected a power of two up to 1048576"},
      {"AlignmentType", GgufBytes(0, 1).Key("general.alignment", 10).Number(uint64_t{32}),
       "metadata key general.alignment is uint64, expected uint32"},
      {"PartOfSplit", GgufBytes(0, 1).Key("split.count", 2).Number(uint16_t{2}),
       "split.count is 2, expected a model in one file"},
  };
}

// Cases of one tensor "t" over 32 bytes of data.
HostileCase OneTensor(std::string name, const std::vector<uint64_t>& dims, uint32_t type,
                      uint64_t offset, const std::string& message) {
  return {std::move(name),
          GgufBytes(1, 0).Tensor("t", dims, type, offset).Data(std::string(32, 'x')),
          "tensor t: " + message};
}

std::vector<HostileCase> TensorCases() {
  return {
      OneTensor("NoDims", {}, 0, 0, "has 0 dimensions, expected 1 to 4"),
      OneTensor("FiveDims", {1, 1, 1, 1, 1}, 0, 0, "has 5 dimensions, expected 1 to 4"),
      OneTensor("ZeroDim", {4, 0}, 0, 0, "dimensions [4, 0] hold a 0"),
      OneTensor("UnknownType", {4}, 4, 0, "type id 4 is unknown"),
      OneTensor("DimsOverflow", {1ull << 32, 1ull << 32}, 0, 0,
                "dimensions [4294967296, 4294967296] of F32 overflow 63 bits"),
      OneTensor("BytesOverflow", {1ull << 61}, 0, 0,
                "dimensions [2305843009213693952] of F32 overflow 63 bits"),
      OneTensor("RowIsNoBlock", {33}, 8, 0,
                "row length 33 is not a multiple of 32, the block of Q8_0"),
      OneTensor("Unaligned", {4}, 0, 8, "offset 8 is not a multiple of the alignment 32"),
      OneTensor("BeyondFile", {9}, 0, 0,
                "36 bytes at offset 0 of the data, which begins at byte 64; file has 96 bytes"),
      OneTensor("OffsetBeyondFile", {4}, 0, 64, "16 bytes at offset 64 of the data"),
      OneTensor("OffsetWraps", {4}, 0, kHuge - 31, "16 bytes at offset 18446744073709551584"),
      {"NameTwice",
       GgufBytes(2, 0).Tensor("t", {4}, 0, 0).Tensor("t", {4}, 0, 32).Data(std::string(64, 'x')),
       "tensor t is there twice"},
      {"Overlap",
       GgufBytes(2, 0).Tensor("a", {4}, 0, 32).Tensor("b", {9}, 0, 0).Data(std::string(64, 'x')),
       "tensor a: offset 32 overlaps b (ends at 36)"},
      {"HugeName", GgufBytes(1, 0).Number(kHuge).Raw(std::string(40, 'x')),
       "name of tensor 0: needs 18446744073709551615 bytes"},
  };
}

std::string CaseName(const ::testing::TestParamInfo<HostileCase>& info) { return info.param.name; }

INSTANTIATE_TEST_SUITE_P(Header, HostileGgufTest, ::testing::ValuesIn(HeaderCases()), CaseName);
INSTANTIATE_TEST_SUITE_P(Tensor, HostileGgufTest, ::testing::ValuesIn(TensorCases()), CaseName);

// A source that claims to be large without taking memory: a string of its whole length is asked
// for.
class HugeSource : public ByteSource {
 public:
  explicit HugeSource(std::string start) : start_(std::move(start)) {}
  const std::string& name() const override { return name_; }
  uint64_t size_bytes() const override { return uint64_t{1} << 40; }
  absl::Status ReadAt(uint64_t offset, std::span<std::byte> out) const override {
    for (size_t i = 0; i < out.size(); ++i) {
      out[i] =
          offset + i < start_.size() ? static_cast<std::byte>(start_[offset + i]) : std::byte{0};
    }
    return absl::OkStatus();
  }

 private:
  const std::string name_ = "m.gguf";
  const std::string start_;
};

TEST(GgufReaderTest, HeaderIsBoundedWhateverTheFileHolds) {
  const std::string start = GgufBytes(0, 1).Key("a", 8).Number(uint64_t{1} << 39);
  const auto reader = GgufReader::Open(std::make_unique<HugeSource>(start));
  EXPECT_EQ(reader.status().message(),
            "m.gguf: metadata key a: needs 549755813888 bytes at byte 45, a header of at most "
            "67108864 bytes is accepted");
}

class SplitModelTest : public ::testing::Test {
 protected:
  // Writes file `number` of `count` with one tensor called `tensor`.
  void WritePart(int number, int count, const std::string& tensor, int says_number,
                 int tensor_count = 2) {
    const std::string file = GgufBytes(1, 3)
                                 .Key("split.no", 2)
                                 .Number(static_cast<uint16_t>(says_number))
                                 .Key("split.count", 2)
                                 .Number(static_cast<uint16_t>(count))
                                 .Key("split.tensors.count", 5)
                                 .Number(int32_t{tensor_count})
                                 .Tensor(tensor, {4}, 24, 0)
                                 .Data("dat" + std::to_string(number));
    ASSERT_TRUE(WriteFileAtomically(Path(number, count), file).ok());
  }
  std::filesystem::path Path(int number, int count) const {
    return folder_.path() /
           ("m-0000" + std::to_string(number) + "-of-0000" + std::to_string(count) + ".gguf");
  }
  std::string Refusal(const std::filesystem::path& path) const {
    const auto reader = GgufReader::Open(path);
    EXPECT_FALSE(reader.ok());
    if (reader.ok()) return "";
    EXPECT_EQ(ErrorOf(reader.status()), Error::kValidationFailed);
    return std::string(reader.status().message());
  }

  const testing::TempDir folder_;
};

TEST_F(SplitModelTest, AnyFileOpensTheWholeModel) {
  WritePart(1, 2, "a", 0);
  WritePart(2, 2, "b", 1);
  for (const int number : {1, 2}) {
    const auto reader = GgufReader::Open(Path(number, 2));
    ASSERT_TRUE(reader.ok()) << reader.status();
    ASSERT_THAT((*reader)->tensors(), SizeIs(2));
    EXPECT_THAT((*reader)->parts(), SizeIs(2));
    for (const uint32_t part : {0u, 1u}) {
      const TensorInfo& tensor = (*reader)->tensors()[part];
      EXPECT_EQ(tensor.part, part);
      std::string bytes(4, '\0');
      ASSERT_TRUE((*reader)->Read(tensor, 0, std::as_writable_bytes(std::span(bytes))).ok());
      EXPECT_EQ(bytes, "dat" + std::to_string(part + 1));
    }
  }
}

TEST_F(SplitModelTest, ListedFilesAreTheModelWhateverTheirNames) {
  WritePart(1, 2, "a", 0);
  WritePart(2, 2, "b", 1);
  std::vector<std::filesystem::path> files = {folder_.path() / "x.part", folder_.path() / "y.part"};
  std::filesystem::rename(Path(1, 2), files[0]);
  std::filesystem::rename(Path(2, 2), files[1]);
  const auto reader = GgufReader::Open(files);
  ASSERT_TRUE(reader.ok()) << reader.status();
  ASSERT_THAT((*reader)->tensors(), SizeIs(2));
  std::string bytes(4, '\0');
  ASSERT_TRUE(
      (*reader)->Read((*reader)->tensors()[1], 0, std::as_writable_bytes(std::span(bytes))).ok());
  EXPECT_EQ(bytes, "dat2");
  std::swap(files[0], files[1]);
  EXPECT_EQ(GgufReader::Open(files).status().message(),
            "y.part: split.no 1 and split.count 2, expected 0 and 2 from its place in the list");
  files.resize(1);
  EXPECT_EQ(GgufReader::Open(files).status().message(),
            "y.part: split.count is 2, expected a model in one file");
}

TEST_F(SplitModelTest, MissingFileIsNamed) {
  WritePart(1, 2, "a", 0);
  EXPECT_EQ(Refusal(Path(1, 2)), "m-00002-of-00002.gguf: missing, the model has 2 files");
}

TEST_F(SplitModelTest, FileThatContradictsItsNameIsRefused) {
  WritePart(1, 2, "a", 0);
  WritePart(2, 2, "b", 0);
  EXPECT_EQ(Refusal(Path(1, 2)),
            "m-00002-of-00002.gguf: split.no 0 and split.count 2, expected 1 and 2 from the "
            "file's name");
}

TEST_F(SplitModelTest, TensorInTwoFilesIsRefused) {
  WritePart(1, 2, "a", 0);
  WritePart(2, 2, "a", 1);
  EXPECT_EQ(Refusal(Path(1, 2)),
            "m-00002-of-00002.gguf: tensor a is in an earlier file of the model, too");
}

TEST_F(SplitModelTest, TensorCountMustAgree) {
  WritePart(1, 2, "a", 0, /*tensor_count=*/3);
  WritePart(2, 2, "b", 1);
  EXPECT_THAT(Refusal(Path(1, 2)),
              HasSubstr("split.tensors.count is 3, the model's 2 files hold 2 tensors"));
}

TEST_F(SplitModelTest, RenamedFileIsRefused) {
  WritePart(1, 2, "a", 0);
  std::filesystem::rename(Path(1, 2), folder_.path() / "renamed.gguf");
  EXPECT_THAT(Refusal(folder_.path() / "renamed.gguf"),
              HasSubstr("split.count is 2, but the name does not end in -NNNNN-of-NNNNN.gguf"));
}

TEST(GgufReaderTest, MissingFileIsNotFound) {
  const testing::TempDir folder;
  EXPECT_EQ(ErrorOf(GgufReader::Open(folder.path() / "none.gguf").status()), Error::kModelNotFound);
}

// So that the fuzz target starts from files that get through the parser, and from others.
TEST(GgufReaderTest, FuzzSeedsAreWhatTheirFoldersSay) {
  for (const bool valid : {true, false}) {
    const auto folder =
        testing::SourceDir() / "tests/fuzz/corpus/gguf" / (valid ? "valid" : "hostile");
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
      const auto file = ReadFile(entry.path(), 1 << 20);
      ASSERT_TRUE(file.ok()) << file.status();
      EXPECT_EQ(OpenMemory(*file).ok(), valid) << entry.path();
    }
  }
}

}  // namespace
}  // namespace quantized::gguf
