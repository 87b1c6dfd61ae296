#include "core/pipeline/part_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <thread>

#include "core/base/error.h"
#include "tests/support/paths.h"
#include "tests/support/recording_sink.h"

namespace quantized {
namespace {

using ::testing::HasSubstr;

class PartFileTest : public ::testing::Test {
 protected:
  testing::TempDir dir_;
  const std::filesystem::path path_ = PartPath(dir_.path() / "model.gguf");
  testing::RecordingSink sink_;
  ThreadPool pool_{1};
  std::stop_source stop_;
  JobContext context_{stop_.get_token(), sink_, pool_};
};

TEST_F(PartFileTest, LiesBesideTheOutput) { EXPECT_EQ(path_, dir_.path() / "model.gguf.part"); }

TEST_F(PartFileTest, ASecondWriterIsRefused) {
  const auto first = OpenLocked(path_, context_);
  ASSERT_TRUE(first.ok()) << first.status();
  const auto second = OpenLocked(path_, context_, std::chrono::milliseconds(0));
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(ErrorOf(second.status()), Error::kIo);
  EXPECT_THAT(std::string(second.status().message()), HasSubstr("another process"));
}

TEST_F(PartFileTest, TheLockEndsWithItsHolder) {
  { ASSERT_TRUE(OpenLocked(path_, context_).ok()); }
  EXPECT_TRUE(OpenLocked(path_, context_, std::chrono::milliseconds(0)).ok());
}

TEST_F(PartFileTest, WaitingEndsWithAStop) {
  const auto first = OpenLocked(path_, context_);
  ASSERT_TRUE(first.ok()) << first.status();
  std::jthread stopper([this] { stop_.request_stop(); });
  const auto second = OpenLocked(path_, context_, std::chrono::hours(1));
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(ErrorOf(second.status()), Error::kCancelled);
}

// The holder publishes, that is, renames the file: who waited must not write into the published
// one.
TEST_F(PartFileTest, AFileThatWasRenamedMeanwhileIsLeftAlone) {
  auto first = OpenLocked(path_, context_);
  ASSERT_TRUE(first.ok()) << first.status();
  ASSERT_TRUE(first->WriteAt(0, std::as_bytes(std::span("published", 9))).ok());
  const std::filesystem::path published = dir_.path() / "model.gguf";
  std::optional<absl::StatusOr<File>> second;
  {
    std::jthread waiter([&] { second = OpenLocked(path_, context_, std::chrono::hours(1)); });
    ASSERT_TRUE(RenameDurably(path_, published).ok());
    ASSERT_TRUE(first->Close().ok());
  }
  ASSERT_TRUE(second->ok()) << second->status();
  EXPECT_EQ(*(*second)->SizeBytes(), 0u);
  EXPECT_EQ(std::filesystem::file_size(published), 9u);
}

}  // namespace
}  // namespace quantized
