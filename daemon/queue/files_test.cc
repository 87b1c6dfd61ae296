// The daemon's folder, its locks, its logs.
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <future>

#include "core/base/error.h"
#include "core/base/file.h"
#include "daemon/queue/attempt_log.h"
#include "daemon/queue/log_reader.h"
#include "daemon/queue/state_dir.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/paths.h"

namespace quantized {
namespace {

using ::testing::HasSubstr;
constexpr std::chrono::milliseconds kNoPatience{0};

TEST(StateDir, IsMadePrivateAndHeldByOne) {
  testing::TempDir dir;
  const std::filesystem::path path = dir.path() / "a" / "state";
  auto held = StateDir::Open(path, kNoPatience);
  ASSERT_TRUE(held.ok()) << held.status();
  struct stat found;
  ASSERT_EQ(stat(path.c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 0777, 0700u);

  const auto second = StateDir::Open(path, kNoPatience);
  ASSERT_FALSE(second.ok());
  EXPECT_THAT(std::string(second.status().message()),
              HasSubstr("in use by another daemon (pid " + std::to_string(getpid()) + ")"));
  // One that waits gets it when it is given back.
  auto waiting = std::async(std::launch::async,
                            [&] { return StateDir::Open(path, std::chrono::minutes(1)).ok(); });
  { const StateDir gone = *std::move(held); }
  EXPECT_TRUE(waiting.get());
}

TEST(StateDir, RefusesAFolderThatOthersMayEnter) {
  testing::TempDir dir;
  const std::filesystem::path path = dir.path() / "open";
  std::filesystem::create_directory(path);
  ASSERT_EQ(chmod(path.c_str(), 0755), 0);
  const auto opened = StateDir::Open(path, kNoPatience);
  ASSERT_FALSE(opened.ok());
  EXPECT_THAT(std::string(opened.status().message()), HasSubstr("mode 0755"));
  EXPECT_EQ(ErrorOf(StateDir::Open("relative", kNoPatience).status()), Error::kInvalidArgument);
}

TEST(RemoveOldLogs, RemovesJobsInWhichNothingWasWrittenForLong) {
  testing::TempDir dir;
  EXPECT_TRUE(RemoveOldLogs(dir.path() / "none", std::chrono::hours(1)).ok());
  for (const std::string job : {"old", "new", "continued"}) {
    std::filesystem::create_directory(dir.path() / job);
    std::ofstream(AttemptLogPath(dir.path(), job, 1)) << "words";
  }
  const auto long_ago = std::filesystem::file_time_type::clock::now() - std::chrono::hours(100);
  for (const std::string job : {"old", "continued"}) {
    std::filesystem::last_write_time(AttemptLogPath(dir.path(), job, 1), long_ago);
  }
  std::ofstream(AttemptLogPath(dir.path(), "continued", 2)) << "words";
  for (const std::string job : {"old", "continued"}) {
    std::filesystem::last_write_time(dir.path() / job, long_ago);
  }
  EXPECT_TRUE(RemoveOldLogs(dir.path(), std::chrono::hours(99)).ok());
  EXPECT_FALSE(std::filesystem::exists(dir.path() / "old"));
  EXPECT_TRUE(std::filesystem::exists(dir.path() / "new"));
  EXPECT_TRUE(std::filesystem::exists(dir.path() / "continued"));
}

class LogReaderTest : public ::testing::Test {
 protected:
  absl::StatusOr<LogReader::Chunk> Read(uint64_t offset, bool follow) {
    return StartRead(offset, follow).get();
  }
  std::future<absl::StatusOr<LogReader::Chunk>> StartRead(uint64_t offset, bool follow) {
    auto promise = std::make_shared<std::promise<absl::StatusOr<LogReader::Chunk>>>();
    reader_.Read(
        {.path = path_, .ended = ended_}, offset, follow, [this] { return given_up_->load(); },
        [promise](auto chunk) { promise->set_value(std::move(chunk)); });
    return promise->get_future();
  }

  testing::TempDir dir_;
  const std::filesystem::path path_ = dir_.path() / "1.log";
  const std::shared_ptr<std::atomic<bool>> ended_ = std::make_shared<std::atomic<bool>>(false);
  const std::shared_ptr<std::atomic<bool>> given_up_ = std::make_shared<std::atomic<bool>>(false);
  LogReader reader_;
};

TEST_F(LogReaderTest, ReadsByOffsetAndFollowsUntilTheEnd) {
  EXPECT_EQ(Read(0, /*follow=*/false)->data, "");  // not there yet
  auto first = StartRead(0, /*follow=*/true);
  std::ofstream log(path_);
  log << "hello" << std::flush;
  const auto chunk = first.get();
  EXPECT_EQ(chunk->data, "hello");
  EXPECT_EQ(Read(3, false)->data, "lo");
  EXPECT_EQ(Read(3, false)->offset, 3u);
  EXPECT_EQ(Read(100, false)->data, "");
  auto rest = StartRead(5, /*follow=*/true);
  *ended_ = true;
  EXPECT_EQ(rest.get()->data, "");
}

TEST_F(LogReaderTest, CutsLongLogsIntoChunks) {
  ASSERT_TRUE(WriteFileAtomically(path_, std::string(100'000, 'x')).ok());
  EXPECT_EQ(Read(0, false)->data.size(), LogReader::kMaxChunkBytes);
  EXPECT_EQ(Read(LogReader::kMaxChunkBytes, false)->data.size(),
            100'000 - LogReader::kMaxChunkBytes);
}

TEST_F(LogReaderTest, EndsWhenItsReaderLeaves) {
  auto waiting = StartRead(0, /*follow=*/true);
  *given_up_ = true;
  EXPECT_EQ(ErrorOf(waiting.get().status()), Error::kCancelled);
}

}  // namespace
}  // namespace quantized
