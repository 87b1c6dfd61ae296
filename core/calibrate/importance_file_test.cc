#include "core/calibrate/importance_file.h"

#include <limits>
#include <span>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/base/file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/gguf_bytes.h"
#include "tests/support/paths.h"

namespace quantized {
namespace {

using ::testing::ElementsAre;
using testing::GgufBytes;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr uint32_t kUint32 = 4, kString = 8, kArray = 9;  // value types
constexpr uint32_t kF32 = 0, kF16 = 1;                    // tensor types

absl::StatusOr<ImportanceFile> Read(const std::string& bytes) {
  return ReadImportanceFile(MemoryBytes("m", std::as_bytes(std::span(bytes))));
}

std::string Refusal(const std::string& bytes) {
  const auto file = Read(bytes);
  EXPECT_EQ(ErrorOf(file.status()), Error::kValidationFailed);
  return std::string(file.status().message());
}

std::string Bytes(const std::vector<float>& values) {
  return std::string(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float));
}

// --- the GGUF form ---

// The beginning of a file with the three keys.
GgufBytes WithKeys(uint64_t tensors, uint32_t chunks = 3) {
  return GgufBytes(tensors, 3)
      .Key("imatrix.datasets", kArray)
      .Number(kString)
      .Number(uint64_t{2})
      .String("a.txt")
      .String("b.txt")
      .Key("imatrix.chunk_count", kUint32)
      .Number(chunks)
      .Key("imatrix.chunk_size", kUint32)
      .Number(uint32_t{512});
}

// A file with one entry x.
std::string OneEntry(const std::vector<float>& sums, const std::vector<float>& counts) {
  return WithKeys(2)
      .Tensor("x.in_sum2", {sums.size()}, kF32, 0)
      .Tensor("x.counts", {counts.size()}, kF32, 32)
      .Data(Bytes(sums))
      .Data(Bytes(counts));
}

TEST(ImportanceFileTest, GgufSumsAreDividedByCounts) {
  const auto file = Read(OneEntry({1, 2, 4, 5, 0.5f, 7}, {3, 0, 2}));
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_THAT(file->datasets, ElementsAre("a.txt", "b.txt"));
  EXPECT_EQ(file->chunks, 3u);
  ASSERT_EQ(file->entries.size(), 1u);
  EXPECT_THAT(file->entries.at("x").Weights(), ElementsAre(1.0f / 3, 2.0f / 3, 1, 1, 0.25f, 3.5f));
}

TEST(ImportanceFileTest, GgufCountsAreRounded) {
  const auto file = Read(OneEntry({6, 6, 6}, {1.5f, 2.4f, 0.4f}));
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_THAT(file->entries.at("x").Weights(), ElementsAre(3, 3, 1));
}

TEST(ImportanceFileTest, GgufMatricesMayShareOneCount) {
  const auto file = Read(OneEntry({2, 4, 6, 8}, {2}));
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_THAT(file->entries.at("x").Weights(), ElementsAre(1, 2, 3, 4));
}

TEST(ImportanceFileTest, GgufTensorsOfOtherNamesAreLeft) {
  const std::string bytes = WithKeys(3)
                                .Tensor("x.in_sum2", {1}, kF32, 0)
                                .Tensor("note", {1}, kF16, 32)
                                .Tensor("x.counts", {1}, kF32, 64)
                                .Data(Bytes({6}))
                                .Data("..")
                                .Data(Bytes({2}));
  const auto file = Read(bytes);
  ASSERT_TRUE(file.ok()) << file.status();
  ASSERT_EQ(file->entries.size(), 1u);
  EXPECT_THAT(file->entries.at("x").Weights(), ElementsAre(3));
}

TEST(ImportanceFileTest, GgufChunksThatToolsTakeAsNegativeAreUnknown) {
  const std::string bytes = WithKeys(2, /*chunks=*/0x80000000u)
                                .Tensor("x.in_sum2", {1}, kF32, 0)
                                .Tensor("x.counts", {1}, kF32, 32)
                                .Data(Bytes({6}))
                                .Data(Bytes({2}));
  const auto file = Read(bytes);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(file->chunks, 0u);
}

TEST(ImportanceFileTest, GgufNeedsItsKeys) {
  EXPECT_EQ(Refusal(GgufBytes(0, 0)),
            "m: not an importance matrix: metadata key imatrix.datasets is missing");
  EXPECT_EQ(Refusal(GgufBytes(0, 1).Key("imatrix.datasets", kString).String("a")),
            "m: metadata key imatrix.datasets is string, expected array of string");
  const auto datasets = [](uint32_t type) {
    return GgufBytes(0, 1).Key("imatrix.datasets", kArray).Number(type).Number(uint64_t{0});
  };
  EXPECT_EQ(Refusal(datasets(kUint32)),
            "m: metadata key imatrix.datasets is array of uint32, expected of string");
  EXPECT_EQ(Refusal(datasets(kString)),
            "m: not an importance matrix: metadata key imatrix.chunk_count is missing");
  const auto with_count = [](uint32_t type) {
    return GgufBytes(0, 2)
        .Key("imatrix.datasets", kArray)
        .Number(kString)
        .Number(uint64_t{0})
        .Key("imatrix.chunk_count", type)
        .Number(uint32_t{1});
  };
  EXPECT_EQ(Refusal(with_count(/*int32*/ 5)),
            "m: metadata key imatrix.chunk_count is int32, expected uint32");
  EXPECT_EQ(Refusal(with_count(kUint32)),
            "m: not an importance matrix: metadata key imatrix.chunk_size is missing");
}

TEST(ImportanceFileTest, GgufEntriesMustBeWhole) {
  EXPECT_EQ(Refusal(WithKeys(0)), "m: holds no entries, expected one at least");
  EXPECT_EQ(Refusal(WithKeys(1).Tensor("x.in_sum2", {1}, kF32, 0).Data(Bytes({1}))),
            "m: entry x: tensor .counts is missing");
  EXPECT_EQ(Refusal(WithKeys(1).Tensor("x.counts", {1}, kF32, 0).Data(Bytes({1}))),
            "m: entry x: tensor .in_sum2 is missing");
  EXPECT_EQ(Refusal(WithKeys(2)
                        .Tensor("x.in_sum2", {1}, kF32, 0)
                        .Tensor("x.counts", {2}, kF16, 32)
                        .Data(Bytes({1}))
                        .Data(Bytes({1}))),
            "m: entry x: tensor .counts is F16, expected F32");
  EXPECT_EQ(Refusal(WithKeys(2)
                        .Tensor("x.counts", {1}, kF32, 0)
                        .Tensor("x.counts", {1}, kF32, 32)
                        .Data(Bytes({1}))
                        .Data(Bytes({1}))),
            "m: tensor x.counts is there twice");
  EXPECT_EQ(Refusal(OneEntry({1, 2, 3, 4}, {1, 1, 1})),
            "m: entry x: 3 counts for 4 sums, expected a number that divides them");
  EXPECT_EQ(Refusal(OneEntry({1}, {1, 1})),
            "m: entry x: 2 counts for 1 sums, expected a number that divides them");
  EXPECT_EQ(Refusal(OneEntry({1}, {-1})), "m: entry x: a count is -1, expected 0 or more");
  EXPECT_EQ(Refusal(OneEntry({1}, {std::numeric_limits<float>::infinity()})),
            "m: entry x: a count is inf, expected 0 or more");
}

TEST(ImportanceFileTest, GgufHeaderIsNotBelieved) {
  EXPECT_THAT(Refusal(WithKeys(uint64_t{1} << 60)), HasSubstr("tensor count"));
  EXPECT_THAT(Refusal(WithKeys(1).Tensor("x.in_sum2", {uint64_t{1} << 40}, kF32, 0).Data("")),
              HasSubstr("tensor x.in_sum2: 4398046511104 bytes"));
  EXPECT_THAT(Refusal(WithKeys(1).Tensor("x.in_sum2", {uint64_t{1} << 62, 4}, kF32, 0).Data("")),
              HasSubstr("overflow"));
}

// --- the older form ---

class Legacy {
 public:
  explicit Legacy(int32_t entries) { Number(entries); }
  template <typename T>
  Legacy& Number(T number) {
    bytes_.append(reinterpret_cast<const char*>(&number), sizeof(number));
    return *this;
  }
  Legacy& Text(std::string_view text) {
    Number(static_cast<int32_t>(text.size()));
    bytes_ += text;
    return *this;
  }
  Legacy& Entry(std::string_view name, int32_t calls, const std::vector<float>& values) {
    Text(name).Number(calls).Number(static_cast<int32_t>(values.size()));
    bytes_ += Bytes(values);
    return *this;
  }
  operator std::string() const { return bytes_; }  // NOLINT(google-explicit-constructor)

 private:
  std::string bytes_;
};

TEST(ImportanceFileTest, LegacyValuesAreDividedByCalls) {
  const auto file = Read(Legacy(3).Entry("b", 3, {1, 2}).Entry("a", 0, {5}).Entry("c", -2, {7}));
  ASSERT_TRUE(file.ok()) << file.status();
  ASSERT_EQ(file->entries.size(), 3u);
  EXPECT_THAT(file->entries.at("a").Weights(), ElementsAre(5));
  EXPECT_THAT(file->entries.at("b").Weights(), ElementsAre(1.0f / 3, 2.0f / 3));
  EXPECT_THAT(file->entries.at("c").Weights(), ElementsAre(7));
  EXPECT_THAT(file->entries.at("b").counts, ElementsAre(3 * 512));
  EXPECT_THAT(file->datasets, IsEmpty());
  EXPECT_EQ(file->chunks, 0u);
}

TEST(ImportanceFileTest, LegacyTailIsOptional) {
  const Legacy entries = Legacy(1).Entry("a", 1, {1});
  const auto with_chunks = Read(Legacy(entries).Number(int32_t{7}));
  ASSERT_TRUE(with_chunks.ok()) << with_chunks.status();
  EXPECT_EQ(with_chunks->chunks, 7u);
  EXPECT_THAT(with_chunks->datasets, IsEmpty());
  const auto with_all =
      Read(Legacy(entries).Number(int32_t{7}).Text(std::string_view("a.txt\0b", 7)));
  ASSERT_TRUE(with_all.ok()) << with_all.status();
  EXPECT_THAT(with_all->datasets, ElementsAre("a.txt"));
  // Numbers that mean nothing, and bytes that a later version may put behind.
  const auto odd = Read(Legacy(entries).Number(int32_t{-7}).Number(int32_t{-1}).Text("more"));
  ASSERT_TRUE(odd.ok()) << odd.status();
  EXPECT_EQ(odd->chunks, 0u);
  EXPECT_THAT(odd->datasets, IsEmpty());
}

TEST(ImportanceFileTest, LegacyLengthsAreNotBelieved) {
  EXPECT_EQ(Refusal(Legacy(0)), "m: number of entries is 0, expected 1 or more");
  EXPECT_EQ(Refusal(Legacy(-1)), "m: number of entries is -1, expected 1 or more");
  EXPECT_EQ(Refusal(Legacy(2).Entry("a", 1, {1})),
            "m: neither GGUF nor the older form of an importance matrix: number of entries 2: "
            "needs 2 entries of at least 17 bytes at byte 4, file has 17 left");
  EXPECT_EQ(Refusal(Legacy(1).Number(int32_t{-5}).Entry("a", 1, {1})),
            "m: entry 0: length of name is -5, expected 1 or more");
  EXPECT_EQ(Refusal(Legacy(1).Number(int32_t{0x7fffffff}).Entry("a", 1, {1})),
            "m: entry 0: name: needs 2147483647 bytes at byte 8, file has 17 left");
  EXPECT_EQ(Refusal(Legacy(1).Entry("a", 1, {}).Text("....")),
            "m: entry a: number of values is 0, expected 1 or more");
  EXPECT_EQ(Refusal(Legacy(1).Text("a").Number(int32_t{1}).Number(int32_t{-1}).Text("....")),
            "m: entry a: number of values is -1, expected 1 or more");
  EXPECT_EQ(
      Refusal(Legacy(1).Text("a").Number(int32_t{1}).Number(int32_t{0x7fffffff}).Text("....")),
      "m: entry a: values: needs 2147483647 entries of at least 4 bytes at byte 17, file has 8 "
      "left");
  EXPECT_EQ(Refusal(Legacy(2).Entry("a", 1, {1}).Entry("a", 1, {1})), "m: entry a is there twice");
}

TEST(ImportanceFileTest, LegacyTailIsNotBelieved) {
  const Legacy entries = Legacy(1).Entry("a", 1, {1});
  EXPECT_EQ(Refusal(Legacy(entries).Number(int16_t{1})),
            "m: number of chunks: needs 4 bytes at byte 21, file has 2 left");
  EXPECT_EQ(Refusal(Legacy(entries).Number(int32_t{1}).Number(int16_t{1})),
            "m: length of data set: needs 4 bytes at byte 25, file has 2 left");
  EXPECT_EQ(Refusal(Legacy(entries).Number(int32_t{1}).Number(int32_t{9}).Number('x')),
            "m: name of data set: needs 9 bytes at byte 29, file has 1 left");
}

// --- both ---

TEST(ImportanceFileTest, OtherFilesAreRefused) {
  EXPECT_EQ(Refusal(""), "m: number of entries: needs 4 bytes at byte 0, file has 0 left");
  EXPECT_EQ(Refusal("GGU"), "m: number of entries: needs 4 bytes at byte 0, file has 3 left");
  EXPECT_THAT(Refusal("a text that is no matrix at all"),
              HasSubstr("m: neither GGUF nor the older form of an importance matrix"));
  EXPECT_THAT(Refusal("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"),
              HasSubstr("git-lfs pointer instead of an importance matrix"));
}

TEST(ImportanceFileTest, TruncatedFilesAreRefused) {
  for (const char* name : {"imatrix/experts.gguf", "imatrix/dense.dat"}) {
    SCOPED_TRACE(name);
    const auto whole = ReadFile(testing::GoldenDir() / name, 1 << 20);
    ASSERT_TRUE(whole.ok()) << whole.status();
    ASSERT_TRUE(Read(*whole).ok());
    // The tail of the older form is optional, the padding of the other is not needed.
    for (size_t size = 0; size + 64 < whole->size(); size += size < 600 ? 1 : 97) {
      EXPECT_THAT(Refusal(whole->substr(0, size)), HasSubstr("m: ")) << size;
    }
  }
}

// --- writing and adding ---

ImportanceFile Measured() {
  ImportanceFile file;
  file.entries["blk.0.attn_q.weight"] = {{2, 4, 6}, {2}};
  file.entries["blk.0.ffn_up_exps.weight"] = {{3, 9, 0, 0}, {3, 0}};
  file.datasets = {"a.txt"};
  file.chunks = 2;
  file.chunk_tokens = 512;
  return file;
}

TEST(ImportanceFileTest, WhatIsWrittenIsRead) {
  const auto bytes = ImportanceGguf(Measured());
  ASSERT_TRUE(bytes.ok()) << bytes.status();
  const auto file = Read(*bytes);
  ASSERT_TRUE(file.ok()) << file.status();
  for (const auto& [name, entry] : Measured().entries) {
    EXPECT_EQ(file->entries.at(name).sums, entry.sums) << name;
    EXPECT_EQ(file->entries.at(name).counts, entry.counts) << name;
  }
  EXPECT_EQ(file->entries.size(), 2u);
  EXPECT_THAT(file->datasets, ElementsAre("a.txt"));
  EXPECT_EQ(file->chunks, 2u);
  EXPECT_EQ(file->chunk_tokens, 512u);
  const auto legacy = Read(ImportanceLegacy(Measured()));
  ASSERT_TRUE(legacy.ok()) << legacy.status();
  for (const auto& [name, entry] : Measured().entries) {
    EXPECT_EQ(legacy->entries.at(name).Weights(), entry.Weights()) << name;
  }
  EXPECT_THAT(legacy->datasets, ElementsAre("a.txt"));
  EXPECT_EQ(legacy->chunks, 2u);
}

TEST(ImportanceFileTest, CountsBeyondTheOlderFormAreWrittenAsItsMost) {
  ImportanceFile file;
  file.entries["x"] = {{8e30f}, {4e30f}};
  file.chunk_tokens = 512;
  const auto legacy = Read(ImportanceLegacy(file));
  ASSERT_TRUE(legacy.ok()) << legacy.status();
  EXPECT_THAT(legacy->entries.at("x").Weights(), ElementsAre(2));
}

TEST(ImportanceFileTest, TheReferencesFilesAreWrittenAsTheyWere) {
  for (const char* name : {"imatrix/experts.gguf", "imatrix/dense.gguf"}) {
    SCOPED_TRACE(name);
    const auto whole = ReadFile(testing::GoldenDir() / name, 1 << 20);
    ASSERT_TRUE(whole.ok()) << whole.status();
    const auto file = Read(*whole);
    ASSERT_TRUE(file.ok()) << file.status();
    const auto written = ImportanceGguf(*file);
    ASSERT_TRUE(written.ok()) << written.status();
    EXPECT_TRUE(*written == *whole);
  }
  const auto whole = ReadFile(testing::GoldenDir() / "imatrix/dense.gguf", 1 << 20);
  const auto legacy = ReadFile(testing::GoldenDir() / "imatrix/dense.dat", 1 << 20);
  EXPECT_TRUE(ImportanceLegacy(*Read(*whole)) == *legacy);
}

TEST(ImportanceFileTest, AddedMatricesAreThoseOfOneRun) {
  ImportanceFile sum = Measured();
  ImportanceFile more = Measured();
  more.entries["output.weight"] = {{1}, {4}};
  more.datasets = {"b.txt", "a.txt"};
  const absl::Status status = AddImportance(more, "more.gguf", sum);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_THAT(sum.entries.at("blk.0.attn_q.weight").sums, ElementsAre(4, 8, 12));
  EXPECT_THAT(sum.entries.at("blk.0.attn_q.weight").counts, ElementsAre(4));
  EXPECT_THAT(sum.entries.at("blk.0.ffn_up_exps.weight").counts, ElementsAre(6, 0));
  EXPECT_THAT(sum.entries.at("output.weight").sums, ElementsAre(1));
  EXPECT_THAT(sum.datasets, ElementsAre("a.txt", "b.txt"));
  EXPECT_EQ(sum.chunks, 4u);

  more.entries["blk.0.attn_q.weight"] = {{1, 2}, {1}};
  const absl::Status refused = AddImportance(more, "more.gguf", sum);
  EXPECT_EQ(ErrorOf(refused), Error::kInvalidArgument);
  EXPECT_EQ(refused.message(),
            "more.gguf: entry blk.0.attn_q.weight has 2 sums and 1 counts, in the matrices before "
            "3 and 1");
}

}  // namespace
}  // namespace quantized
