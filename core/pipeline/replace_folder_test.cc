#include "core/pipeline/replace_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <filesystem>

#include "core/base/error.h"
#include "core/base/file.h"
#include "tests/support/paths.h"

namespace quantized {
namespace {

namespace fs = std::filesystem;

template <int kError>
int Fail(const char*, const char*) {
  errno = kError;
  return -1;
}

class ReplaceFolderTest : public ::testing::Test {
 protected:
  void SetUp() override { Make(part_, "new"); }
  static void Make(const fs::path& folder, const char* contents) {
    fs::create_directories(folder);
    ASSERT_TRUE(WriteFileAtomically(folder / "file", contents).ok());
  }
  void ExpectReplaced() const {
    EXPECT_EQ(*ReadFile(path_ / "file", 100), "new");
    EXPECT_FALSE(fs::exists(part_));
    EXPECT_FALSE(fs::exists(ReplacedPath(part_)));
  }

  testing::TempDir dir_;
  const fs::path path_ = dir_.path() / "model";
  const fs::path part_ = dir_.path() / "model.part";
};

TEST_F(ReplaceFolderTest, WhereNothingIs) {
  ASSERT_TRUE(ReplaceFolder(part_, path_).ok());
  ExpectReplaced();
}

TEST_F(ReplaceFolderTest, WhateverTheFileSystemCanDo) {
  for (const ExchangeNames exchange :
       {&ExchangeByKernel, &Fail<EINVAL>, &Fail<ENOSYS>, &Fail<EOPNOTSUPP>}) {
    Make(part_, "new");
    Make(path_, "old");
    const absl::Status status = ReplaceFolder(part_, path_, exchange);
    ASSERT_TRUE(status.ok()) << status;
    ExpectReplaced();
  }
}

TEST_F(ReplaceFolderTest, AfterAnAttemptThatDiedInBetween) {
  for (const bool was_renamed : {false, true}) {
    Make(part_, "new");
    Make(ReplacedPath(part_), "old");
    if (was_renamed) Make(path_, "newer");
    ASSERT_TRUE(ReplaceFolder(part_, path_, &Fail<EINVAL>).ok());
    ExpectReplaced();
  }
}

TEST_F(ReplaceFolderTest, OtherErrorsLeaveBoth) {
  Make(path_, "old");
  EXPECT_EQ(ErrorOf(ReplaceFolder(part_, path_, &Fail<EIO>)), Error::kIo);
  EXPECT_EQ(*ReadFile(path_ / "file", 100), "old");
  EXPECT_EQ(*ReadFile(part_ / "file", 100), "new");
}

}  // namespace
}  // namespace quantized
