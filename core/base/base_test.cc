// Tests of core/base that need no file of their own.
#include <atomic>
#include <filesystem>
#include <set>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/ids.h"
#include "core/base/machine.h"
#include "core/base/sha256.h"
#include "core/base/status_macros.h"
#include "core/base/thread_pool.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace quantized {
namespace {

using ::testing::HasSubstr;

TEST(ErrorTest, EachErrorKeepsItsRowThroughAStatus) {
  for (const ErrorRow& row : AllErrors()) {
    SCOPED_TRACE(row.error_type);
    const absl::Status status = MakeError(row.error, "it broke", "mend it");
    EXPECT_EQ(status.code(), row.status_code);
    EXPECT_EQ(ErrorOf(status), row.error);
    EXPECT_EQ(SuggestionOf(status), "mend it");
  }
}

TEST(ErrorTest, ContractExitCodes) {
  EXPECT_EQ(RowOf(Error::kInternal).exit_code, 1);
  EXPECT_EQ(RowOf(Error::kInvalidArgument).exit_code, 2);
  EXPECT_EQ(RowOf(Error::kModelNotFound).exit_code, 3);
  EXPECT_EQ(RowOf(Error::kAuthenticationRequired).exit_code, 4);
  EXPECT_EQ(RowOf(Error::kOutOfMemory).exit_code, 5);
  EXPECT_EQ(RowOf(Error::kValidationFailed).exit_code, 6);
  EXPECT_EQ(RowOf(Error::kCheckpoint).exit_code, 7);
  EXPECT_EQ(RowOf(Error::kUnsupportedConversion).exit_code, 8);
  EXPECT_EQ(RowOf(Error::kCancelled).exit_code, 9);
}

TEST(ErrorTest, ForeignStatusIsMappedByCode) {
  EXPECT_EQ(ErrorOf(absl::NotFoundError("x")), Error::kModelNotFound);
  EXPECT_EQ(ErrorOf(absl::OutOfRangeError("x")), Error::kInternal);
}

TEST(ErrorTest, FullDiskHasItsOwnError) {
  EXPECT_EQ(ErrorOf(ErrnoError(ENOSPC, "write", "/a")), Error::kDiskFull);
  EXPECT_EQ(ErrorOf(ErrnoError(EACCES, "write", "/a")), Error::kIo);
}

absl::StatusOr<int> Fails() { return MakeError(Error::kCheckpoint, "inner", "retry"); }
absl::Status AddsContext(bool assign) {
  if (assign) {
    ASSIGN_OR_RETURN(const int value, Fails(), << "shard " << 2);
    return absl::InternalError(std::to_string(value));
  }
  RETURN_IF_ERROR(Fails().status()) << "shard " << 1;
  return absl::OkStatus();
}

TEST(StatusMacrosTest, ContextGoesBeforeTheMessageAndTheErrorStays) {
  for (const bool assign : {false, true}) {
    const absl::Status status = AddsContext(assign);
    EXPECT_EQ(status.message(), assign ? "shard 2: inner" : "shard 1: inner");
    EXPECT_EQ(ErrorOf(status), Error::kCheckpoint);
    EXPECT_EQ(SuggestionOf(status), "retry");
  }
}

TEST(ThreadPoolTest, RunsEachIndexOnce) {
  for (const size_t threads : {1, 2, 7}) {
    ThreadPool pool(threads);
    std::vector<std::atomic<int>> runs(1000);
    pool.ParallelFor(runs.size(), [&](size_t i) { ++runs[i]; });
    for (const auto& count : runs) EXPECT_EQ(count, 1);
  }
}

TEST(ThreadPoolTest, DestructorFinishesSubmittedWork) {
  std::atomic<int> done{0};
  {
    ThreadPool pool(2);
    for (int i = 0; i < 100; ++i) pool.Submit([&] { ++done; });
  }
  EXPECT_EQ(done, 100);
}

class FileTest : public ::testing::Test {
 protected:
  FileTest() : folder_(std::filesystem::path(::testing::TempDir()) / NewUlid()) {
    EXPECT_TRUE(CreateDirectories(folder_ / "a/b").ok());
  }
  ~FileTest() override { EXPECT_TRUE(RemoveAll(folder_).ok()); }
  const std::filesystem::path folder_;
};

TEST_F(FileTest, WritesAtomicallyAndReadsBack) {
  const auto path = folder_ / "a/b/file";
  ASSERT_TRUE(WriteFileAtomically(path, "first").ok());
  ASSERT_TRUE(WriteFileAtomically(path, "second").ok());
  EXPECT_EQ(*ReadFile(path, 100), "second");
  EXPECT_FALSE(std::filesystem::exists(folder_ / "a/b/file.tmp"));
}

TEST_F(FileTest, ReadBeyondTheEndNamesPathAndBytes) {
  ASSERT_TRUE(WriteFileAtomically(folder_ / "short", "abc").ok());
  const auto file = File::OpenForRead(folder_ / "short");
  ASSERT_TRUE(file.ok());
  std::byte bytes[8];
  const absl::Status status = file->ReadAt(0, bytes);
  EXPECT_EQ(ErrorOf(status), Error::kValidationFailed);
  EXPECT_THAT(std::string(status.message()), HasSubstr("short: file ends at byte 3"));
}

TEST_F(FileTest, LimitsAndMissingFiles) {
  ASSERT_TRUE(WriteFileAtomically(folder_ / "file", "abc").ok());
  EXPECT_EQ(ErrorOf(ReadFile(folder_ / "file", 2).status()), Error::kValidationFailed);
  EXPECT_EQ(ErrorOf(ReadFile(folder_ / "none", 2).status()), Error::kModelNotFound);
  EXPECT_EQ(ErrorOf(File::CreateExclusive(folder_ / "file").status()), Error::kIo);
  EXPECT_EQ(ErrorOf(CreateDirectories(folder_ / "file/below")), Error::kIo);
  EXPECT_TRUE(Exists(folder_ / "file"));
  EXPECT_FALSE(Exists(folder_ / "none"));
  EXPECT_FALSE(Exists(folder_ / "file/below"));  // an error of its own, ENOTDIR
}

TEST_F(FileTest, WhereAFolderIsToBeMade) {
  ASSERT_TRUE(WriteFileAtomically(folder_ / "file", "abc").ok());
  EXPECT_EQ(DeepestExisting(folder_ / "c/d"), folder_);
  EXPECT_EQ(DeepestExisting(folder_ / "file/b/c"), folder_ / "file");
  EXPECT_EQ(DeepestExisting(folder_), folder_);
  EXPECT_TRUE(CheckWritable(folder_).ok());
  EXPECT_TRUE(CheckWritable(folder_ / "c/d").ok());
  const absl::Status status = CheckWritable(folder_ / "file/b");
  EXPECT_EQ(ErrorOf(status), Error::kIo);
  EXPECT_THAT(std::string(status.message()), HasSubstr("file: Not a directory"));
}

TEST(Sha256Test, KnownDigest) {
  EXPECT_EQ(Sha256Hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(IdsTest, AreWellFormedAndDistinct) {
  std::set<std::string> seen;
  for (int i = 0; i < 1000; ++i) {
    const std::string ulid = NewUlid(), uuid = NewUuid();
    EXPECT_TRUE(IsUlid(ulid)) << ulid;
    EXPECT_TRUE(IsUuid(uuid)) << uuid;
    EXPECT_TRUE(seen.insert(ulid).second && seen.insert(uuid).second);
  }
  EXPECT_FALSE(IsUlid("01ARZ3NDEKTSV4RRFFQ69G5FA"));
  EXPECT_FALSE(IsUuid("not-a-uuid"));
}

TEST(MachineTest, ReadsPlausibleFigures) {
  EXPECT_GT(PeakResidentBytes(), 1u << 20);
  EXPECT_GT(AvailableMemoryBytes(), 1u << 20);
  EXPECT_GE(AvailableCpus(), 1u);
}

}  // namespace
}  // namespace quantized
