#include "core/safetensors/reader.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/base/file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/paths.h"

namespace quantized::safetensors {
namespace {

using ::testing::ElementsAre;
using ::testing::StartsWith;

// The eight little-endian bytes of the header's length.
std::string LengthField(uint64_t length) {
  std::string field;
  for (int i = 0; i < 8; ++i) field.push_back(static_cast<char>(length >> (8 * i)));
  return field;
}

std::string FileOf(const std::string& json, const std::string& data) {
  return absl::StrCat(LengthField(json.size()), json, data);
}

// A reader over `file`, which must outlive it, called "m.safetensors".
absl::StatusOr<std::unique_ptr<SafetensorsReader>> OpenMemory(const std::string& file) {
  return SafetensorsReader::Open(MemoryBytes("m.safetensors", std::as_bytes(std::span(file))));
}

std::string Entry(std::string_view dtype, std::string_view shape, uint64_t begin, uint64_t end) {
  return absl::StrCat(R"({"dtype":")", std::string(dtype), R"(","shape":)", std::string(shape),
                      R"(,"data_offsets":[)", begin, ",", end, "]}");
}

TEST(SafetensorsReaderTest, ReadsTensorsInByteOrderOfNames) {
  const std::string file =
      FileOf(absl::StrCat(R"({"__metadata__":{"format":"pt","z":"1"},)",   //
                          R"("layers.2":)", Entry("F16", "[2,3]", 4, 16),  //
                          R"(,"layers.10":)", Entry("U8", "[4]", 0, 4),    //
                          R"(,"Scalar":)", Entry("F64", "[]", 16, 24),     //
                          R"(,"empty":)", Entry("BF16", "[0,7]", 16, 16), "}   "),
             "0123456789abcdefABCDEFGH");
  const auto reader = OpenMemory(file);
  ASSERT_TRUE(reader.ok()) << reader.status();
  std::vector<std::string> names;
  for (const TensorInfo& tensor : (*reader)->tensors()) names.push_back(tensor.name);
  EXPECT_THAT(names, ElementsAre("Scalar", "empty", "layers.10", "layers.2"));
  EXPECT_THAT((*reader)->metadata(), ElementsAre(std::pair("format", "pt"), std::pair("z", "1")));

  const TensorInfo* tensor = (*reader)->Find("layers.2");
  ASSERT_NE(tensor, nullptr);
  EXPECT_EQ(tensor->dtype, DType::kF16);
  EXPECT_THAT(tensor->shape, ElementsAre(2, 3));
  EXPECT_EQ(tensor->size_bytes, 12u);
  EXPECT_EQ(tensor->offset, (*reader)->header_bytes() + 4);
  std::string middle(5, '\0');
  ASSERT_TRUE((*reader)->Read(*tensor, 2, std::as_writable_bytes(std::span(middle))).ok());
  EXPECT_EQ(middle, "6789a");
  EXPECT_EQ((*reader)->Find("layers.3"), nullptr);
  EXPECT_EQ((*reader)->Find("Scalar")->shape.size(), 0u);
}

TEST(SafetensorsReaderTest, EmptyHeaderIsAFileWithoutTensors) {
  const std::string file = FileOf("{}", "");
  const auto reader = OpenMemory(file);
  ASSERT_TRUE(reader.ok()) << reader.status();
  EXPECT_TRUE((*reader)->tensors().empty());
}

TEST(SafetensorsReaderTest, FileThatShrinksAfterOpeningIsAnError) {
  const testing::TempDir folder;
  const auto path = folder.path() / "m.safetensors";
  ASSERT_TRUE(WriteFileAtomically(
                  path, FileOf(absl::StrCat(R"({"a":)", Entry("U8", "[4]", 0, 4), "}"), "0123"))
                  .ok());
  const auto reader = SafetensorsReader::Open(path);
  ASSERT_TRUE(reader.ok()) << reader.status();
  std::filesystem::resize_file(path, (*reader)->header_bytes() + 2);
  std::byte out[4];
  EXPECT_EQ(ErrorOf((*reader)->Read((*reader)->tensors()[0], 0, out)), Error::kValidationFailed);
}

TEST(SafetensorsReaderTest, MissingFileIsNotFound) {
  const testing::TempDir folder;
  EXPECT_EQ(ErrorOf(SafetensorsReader::Open(folder.path() / "none").status()),
            Error::kModelNotFound);
}

struct HostileCase {
  std::string name, file, message;
};

class HostileTest : public ::testing::TestWithParam<HostileCase> {};

TEST_P(HostileTest, IsRefusedWithItsMessage) {
  const auto reader = OpenMemory(GetParam().file);
  ASSERT_FALSE(reader.ok());
  EXPECT_EQ(ErrorOf(reader.status()), Error::kValidationFailed);
  EXPECT_THAT(std::string(reader.status().message()),
              StartsWith("m.safetensors: " + GetParam().message));
}

std::vector<HostileCase> WholeFileCases() {
  return {
      {"Empty", "", "file is empty"},
      {"FourBytes", "\x01\x02\x03\x04", "file has 4 bytes, the header's length alone takes 8"},
      {"HugeLength", LengthField(~uint64_t{0}) + "{}",
       "header length 18446744073709551615, at most 100000000 are accepted"},
      {"LengthBeyondFile", LengthField(3) + "{}", "header length 3, file has 2 bytes after it"},
      {"GitLfsPointer", "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
       "git-lfs pointer instead of a safetensors file: run git lfs pull"},
      {"NotJson", FileOf("{\"a\":", ""), "header is not valid JSON"},
      {"TrailingText", FileOf("{}{}", ""), "header is not valid JSON"},
      {"DeepNesting", FileOf("{\"a\":" + std::string(100'000, '['), ""),
       "header is not valid JSON"},
      {"BadUtf8", FileOf("{\"\xff\":1}", ""), "header is not valid JSON"},
      {"NotAnObject", FileOf("[]", ""), "header is not a JSON object"},
  };
}

// Cases of one tensor "t" over four bytes of data.
HostileCase OneTensor(std::string name, std::string_view entry, std::string_view message) {
  return {std::move(name), FileOf(absl::StrCat(R"({"t":)", std::string(entry), "}"), "0123"),
          absl::StrCat("tensor t: ", std::string(message))};
}

std::vector<HostileCase> TensorCases() {
  return {
      OneTensor("EntryIsArray", "[]", "its entry is not an object"),
      OneTensor("NoDType", R"({"shape":[4],"data_offsets":[0,4]})", "dtype is missing"),
      OneTensor("NoShape", R"({"dtype":"U8","data_offsets":[0,4]})", "shape is missing"),
      OneTensor("NoOffsets", R"({"dtype":"U8","shape":[4]})", "data_offsets is missing"),
      OneTensor("DTypeTwice", R"({"dtype":"U8","dtype":"I8","shape":[4],"data_offsets":[0,4]})",
                "dtype is given twice"),
      OneTensor("DTypeNumber", R"({"dtype":1,"shape":[4],"data_offsets":[0,4]})",
                "dtype is not a string"),
      OneTensor("DTypeUnknown", Entry("F4", "[8]", 0, 4), "dtype 'F4' is unknown"),
      OneTensor("ShapeString", R"({"dtype":"U8","shape":"4","data_offsets":[0,4]})",
                "shape is not an array"),
      OneTensor("ShapeNegative", Entry("U8", "[-4]", 0, 4),
                "shape entry 0 is not a non-negative 64-bit integer"),
      OneTensor("ShapeFraction", Entry("U8", "[4.0]", 0, 4),
                "shape entry 0 is not a non-negative 64-bit integer"),
      OneTensor("ShapeTooLong", Entry("U8", "[4,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]", 0, 4),
                "shape has more than 16 entries"),
      OneTensor("ShapeOverflows", Entry("F32", "[4294967296,4294967296]", 0, 4),
                "shape [4294967296, 4294967296] of F32 overflows 64 bits"),
      OneTensor("BytesOverflow", Entry("F64", "[2305843009213693952]", 0, 4),
                "shape [2305843009213693952] of F64 overflows 64 bits"),
      OneTensor("OneOffset", R"({"dtype":"U8","shape":[4],"data_offsets":[4]})",
                "data_offsets has 1 entries, expected 2"),
      OneTensor("ThreeOffsets", R"({"dtype":"U8","shape":[4],"data_offsets":[0,4,4]})",
                "data_offsets has more than 2 entries"),
      OneTensor("OffsetsReversed", Entry("U8", "[4]", 4, 0),
                "data_offsets [4, 0] begin after their end"),
      OneTensor("BeyondFile", Entry("U8", "[8]", 0, 8),
                "data_offsets [0, 8] end at 8, file has 4 bytes of data"),
      OneTensor("WrongSize", Entry("F16", "[1]", 0, 4),
                "data_offsets [0, 4] hold 4 bytes, shape [1] of F16 needs 2"),
      OneTensor("GapAtStart", Entry("U8", "[3]", 1, 4),
                "data_offsets begin at 1, leaving a gap after the header (ends at 0)"),
  };
}

std::vector<HostileCase> SeveralTensorCases() {
  const auto two = [](const std::string& a, const std::string& b) {
    return FileOf(absl::StrCat(R"({"a":)", a, R"(,"b":)", b, "}"), "01234567");
  };
  return {
      {"Overlap", two(Entry("U8", "[5]", 0, 5), Entry("U8", "[4]", 4, 8)),
       "tensor b: data_offsets begin at 4, overlapping a (ends at 5)"},
      {"SameBytes", two(Entry("U8", "[8]", 0, 8), Entry("U8", "[8]", 0, 8)),
       "tensor b: data_offsets begin at 0, overlapping a (ends at 8)"},
      {"Gap", two(Entry("U8", "[3]", 0, 3), Entry("U8", "[4]", 4, 8)),
       "tensor b: data_offsets begin at 4, leaving a gap after a (ends at 3)"},
      {"DataLeftOver", two(Entry("U8", "[3]", 0, 3), Entry("U8", "[4]", 3, 7)),
       "tensors end at byte 7 of the data, file has 8 bytes of data"},
      {"NameTwice",
       FileOf(absl::StrCat(R"({"a":)", Entry("U8", "[1]", 0, 1), R"(,"a":)",
                           Entry("U8", "[1]", 1, 2), "}"),
              "01"),
       "tensor a is in the header twice"},
      {"MetadataTwice", FileOf(R"({"__metadata__":{},"__metadata__":{}})", ""),
       "__metadata__ is in the header twice"},
      {"MetadataNumber", FileOf(R"({"__metadata__":{"a":1}})", ""),
       "__metadata__: value of 'a' is not a string"},
      {"MetadataArray", FileOf(R"({"__metadata__":[]})", ""), "__metadata__: not an object"},
  };
}

std::string CaseName(const ::testing::TestParamInfo<HostileCase>& info) { return info.param.name; }

INSTANTIATE_TEST_SUITE_P(WholeFile, HostileTest, ::testing::ValuesIn(WholeFileCases()), CaseName);
INSTANTIATE_TEST_SUITE_P(Tensor, HostileTest, ::testing::ValuesIn(TensorCases()), CaseName);
INSTANTIATE_TEST_SUITE_P(SeveralTensors, HostileTest, ::testing::ValuesIn(SeveralTensorCases()),
                         CaseName);

TEST(SafetensorsReaderTest, NoTruncationOfAGoodFileIsAccepted) {
  const std::string file = FileOf(absl::StrCat(R"({"a":)", Entry("F32", "[1]", 0, 4), R"(,"b":)",
                                               Entry("F32", "[1]", 4, 8), "}"),
                                  "01234567");
  ASSERT_TRUE(OpenMemory(file).ok());
  for (size_t size = 0; size < file.size(); ++size) {
    EXPECT_FALSE(OpenMemory(file.substr(0, size)).ok()) << size;
  }
}

// So that the fuzz target starts from files that get through the parser, and from others.
TEST(SafetensorsReaderTest, FuzzSeedsAreWhatTheirFoldersSay) {
  for (const bool valid : {true, false}) {
    const auto folder =
        testing::SourceDir() / "tests/fuzz/corpus/safetensors" / (valid ? "valid" : "hostile");
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
      const auto file = ReadFile(entry.path(), 1 << 20);
      ASSERT_TRUE(file.ok()) << file.status();
      EXPECT_EQ(OpenMemory(*file).ok(), valid) << entry.path();
    }
  }
}

}  // namespace
}  // namespace quantized::safetensors
