#include "core/pipeline/room.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <string>

#include "core/base/error.h"
#include "core/base/file.h"
#include "tests/support/paths.h"

namespace quantized {
namespace {

using ::testing::HasSubstr;
using testing::TempDir;

TEST(DiskNeedsTest, AddsUpWhatFoldersOfOneFileSystemNeed) {
  const TempDir dir;
  const uint64_t most = *FreeDiskBytes(dir.path()) / 4 * 3;
  DiskNeeds needs;
  needs.Add(dir.path() / "out/a", most);
  EXPECT_TRUE(needs.Check().ok());
  DiskNeeds both = needs;
  both.Add(dir.path() / "elsewhere", most);
  EXPECT_EQ(both.BytesAt(dir.path()), 2 * most);
  EXPECT_EQ(ErrorOf(both.Check()), Error::kDiskFull);
  EXPECT_THAT(std::string(both.Check().message()), HasSubstr(dir.path().string()));
  both = needs;
  both.Add(needs);
  EXPECT_EQ(ErrorOf(both.Check()), Error::kDiskFull);
}

TEST(DiskNeedsTest, OfWhatComesInTurnTheLargerCounts) {
  const TempDir dir;
  DiskNeeds small, large;
  small.Add(dir.path(), 10);
  large.Add(dir.path() / "sub", 20);
  DiskNeeds needs;
  for (const DiskNeeds* one : {&small, &large, &small}) needs.AddInTurn(*one);
  EXPECT_EQ(needs.BytesAt(dir.path()), 20u);
}

TEST(DiskNeedsTest, FileSystemsAreKeptApart) {
  const TempDir dir;
  DiskNeeds needs;
  needs.Add(dir.path(), 10);
  needs.Add("/proc", 20);
  EXPECT_EQ(needs.BytesAt(dir.path()), 10u);
  EXPECT_EQ(needs.BytesAt("/proc/self"), 20u);
  // /proc has no room at all.
  EXPECT_EQ(ErrorOf(needs.Check()), Error::kDiskFull);
}

}  // namespace
}  // namespace quantized
