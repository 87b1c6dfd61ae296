#include "core/pipeline/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <fstream>
#include <string>

#include "core/base/error.h"
#include "tests/support/paths.h"

namespace quantized {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const CheckpointOwner kOwner = {"aaaabbbbccccdddd", "./model", "Q4_K_M", "/out/model.gguf"};
const UnitRecord kUnit0 = {0, 32, 64, 7}, kUnit1 = {1, 96, 10, 8};

class CheckpointTest : public ::testing::Test {
 protected:
  CheckpointTest() : part_(*File::OpenForWrite(dir_.path() / "model.gguf.part")) {}

  absl::StatusOr<std::unique_ptr<Checkpoint>> Start(std::span<const UnitRecord> units = {}) {
    return Checkpoint::Start(folder_, kOwner, units, std::span(&part_, 1),
                             [this](uint64_t n) { synced_ = n; });
  }

  testing::TempDir dir_;
  const std::filesystem::path parent_ = dir_.path() / "checkpoints";
  const std::filesystem::path folder_ = parent_ / kOwner.fingerprint;
  File part_;
  std::atomic<uint64_t> synced_{0};
};

TEST_F(CheckpointTest, RemembersUnitsAndWhichAreDurable) {
  auto checkpoint = Start();
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  ASSERT_TRUE((*checkpoint)->Append(kUnit1).ok());
  ASSERT_TRUE((*checkpoint)->Sync().ok());
  EXPECT_EQ(synced_, 1u);
  ASSERT_TRUE((*checkpoint)->Append(kUnit0).ok());
  checkpoint->reset();

  const auto loaded = LoadCheckpoint(folder_, kOwner);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  ASSERT_TRUE(*loaded);
  EXPECT_THAT((*loaded)->units, ElementsAre(kUnit1, kUnit0));
  EXPECT_EQ((*loaded)->synced_units, 1u);
}

TEST_F(CheckpointTest, UnitsBecomeDurableByThemselves) {
  auto checkpoint = Start();
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  UnitRecord large = kUnit0;
  large.size_bytes = uint64_t{64} << 20;  // due at once
  ASSERT_TRUE((*checkpoint)->Append(large).ok());
  while (synced_ == 0) std::this_thread::yield();
  EXPECT_EQ(synced_, 1u);
}

TEST_F(CheckpointTest, StartingAgainKeepsTheUnitsGiven) {
  { ASSERT_TRUE(Start().ok()); }
  {
    const UnitRecord kept[] = {kUnit1};
    auto again = Start(kept);
    ASSERT_TRUE(again.ok()) << again.status();
    ASSERT_TRUE((*again)->Append(kUnit0).ok());
  }
  const auto loaded = LoadCheckpoint(folder_, kOwner);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_THAT((*loaded)->units, ElementsAre(kUnit1, kUnit0));
  EXPECT_EQ((*loaded)->synced_units, 1u);
}

TEST_F(CheckpointTest, NothingThereIsNoCheckpoint) {
  for (int step = 0; step < 2; ++step) {
    const auto loaded = LoadCheckpoint(folder_, kOwner);
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    EXPECT_FALSE(*loaded);
    std::filesystem::create_directories(folder_);  // as a crash at the very start leaves it
  }
}

TEST_F(CheckpointTest, DamagedFilesAreRefused) {
  for (const char* name : {"job.json", "journal"}) {
    SCOPED_TRACE(name);
    std::filesystem::remove_all(folder_);
    {
      const UnitRecord units[] = {kUnit0, kUnit1};
      ASSERT_TRUE(Start(units).ok());
    }
    {
      std::fstream file(folder_ / name, std::ios::in | std::ios::out);
      file.seekp(0);
      file.put('X');
    }
    const auto loaded = LoadCheckpoint(folder_, kOwner);
    ASSERT_FALSE(loaded.ok());
    EXPECT_EQ(ErrorOf(loaded.status()), Error::kCheckpoint);
    EXPECT_THAT(std::string(loaded.status().message()), HasSubstr(folder_.string()));
  }
}

TEST_F(CheckpointTest, AJournalWithoutItsJobIsRefused) {
  { ASSERT_TRUE(Start().ok()); }
  std::filesystem::remove(folder_ / "job.json");
  const auto loaded = LoadCheckpoint(folder_, kOwner);
  ASSERT_FALSE(loaded.ok());
  EXPECT_EQ(ErrorOf(loaded.status()), Error::kCheckpoint);
}

TEST_F(CheckpointTest, IsFoundByItsFingerprint) {
  const auto located = LocateCheckpoint({.directory = parent_}, kOwner);
  ASSERT_TRUE(located.ok()) << located.status();
  EXPECT_EQ(*located, folder_);
}

TEST_F(CheckpointTest, ResumeTakesTheFolderOrItsParent) {
  { ASSERT_TRUE(Start().ok()); }
  for (const std::filesystem::path& given : {folder_, parent_}) {
    const auto located =
        LocateCheckpoint({.directory = "/elsewhere", .resume_from = given}, kOwner);
    ASSERT_TRUE(located.ok()) << located.status();
    EXPECT_EQ(*located, folder_);
  }
}

TEST_F(CheckpointTest, ResumeNamesBothWhereItBelongsToAnother) {
  { ASSERT_TRUE(Start().ok()); }
  const CheckpointOwner other = {"eeeeffff00001111", "./other", "Q8_0", "/out/other.gguf"};
  for (const std::filesystem::path& given : {folder_, parent_}) {
    const auto located = LocateCheckpoint({.resume_from = given}, other);
    ASSERT_FALSE(located.ok());
    EXPECT_EQ(ErrorOf(located.status()), Error::kCheckpoint);
    EXPECT_THAT(std::string(located.status().message()),
                AllOf(HasSubstr("./model at Q4_K_M"), HasSubstr("aaaabbbbcccc"),
                      HasSubstr("./other at Q8_0"), HasSubstr("eeeeffff0000")));
  }
}

TEST_F(CheckpointTest, ResumeFromNothingIsRefused) {
  std::filesystem::create_directories(parent_);
  for (const std::filesystem::path& given : {parent_, dir_.path() / "missing"}) {
    const auto located = LocateCheckpoint({.resume_from = given}, kOwner);
    ASSERT_FALSE(located.ok());
    EXPECT_EQ(ErrorOf(located.status()), Error::kCheckpoint);
    EXPECT_THAT(std::string(located.status().message()), HasSubstr(given.string()));
  }
}

TEST_F(CheckpointTest, RemovalTakesTheFolderThatItMade) {
  { ASSERT_TRUE(Start().ok()); }
  ASSERT_TRUE(RemoveCheckpoint(folder_).ok());
  EXPECT_FALSE(std::filesystem::exists(parent_));
}

TEST_F(CheckpointTest, RemovalLeavesTheUsersFolder) {
  std::filesystem::create_directories(parent_);
  { ASSERT_TRUE(Start().ok()); }
  ASSERT_TRUE(RemoveCheckpoint(folder_).ok());
  EXPECT_TRUE(std::filesystem::is_empty(parent_));
}

TEST_F(CheckpointTest, OnlyOtherJobsOfTheSameOutputAreStale) {
  const auto start = [&](const std::string& fingerprint, const std::string& output) {
    CheckpointOwner owner = kOwner;
    owner.fingerprint = fingerprint;
    owner.output_path = output;
    ASSERT_TRUE(
        Checkpoint::Start(parent_ / fingerprint, owner, {}, std::span(&part_, 1), [](uint64_t) {
        }).ok());
  };
  start(kOwner.fingerprint, kOwner.output_path);
  start("same-output", kOwner.output_path);
  start("other-output", "/out/other.gguf");
  RemoveStaleCheckpoints(folder_, kOwner);
  EXPECT_TRUE(std::filesystem::exists(folder_));
  EXPECT_FALSE(std::filesystem::exists(parent_ / "same-output"));
  EXPECT_TRUE(std::filesystem::exists(parent_ / "other-output"));
}

}  // namespace
}  // namespace quantized
