#include "core/pipeline/importance_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "core/base/error.h"
#include "tests/support/paths.h"
#include "tests/support/recording_sink.h"

namespace quantized {
namespace {

namespace fs = std::filesystem;
using std::chrono::days;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

ImportanceFile Matrix(size_t columns = 1) {
  ImportanceFile file;
  file.entries["blk.0.attn_q.weight"] = {std::vector<float>(columns, 2.0f), {1}};
  return file;
}

class ImportanceCacheTest : public ::testing::Test {
 protected:
  absl::StatusOr<ImportanceCache> Open(const std::string& key, std::stop_token stop = {}) {
    context_.reset(new JobContext{std::move(stop), sink_, threads_});
    return ImportanceCache::Open(dir_.path(), key, *context_);
  }
  fs::path Path(const std::string& name) const { return dir_.path() / "importance" / name; }
  void Age(const std::string& name, days age) {
    fs::last_write_time(Path(name), fs::file_time_type::clock::now() - age);
  }

  testing::TempDir dir_;
  ThreadPool threads_{1};
  testing::RecordingSink sink_;
  std::unique_ptr<JobContext> context_;
};

TEST_F(ImportanceCacheTest, WhatIsKeptIsFound) {
  {
    auto cache = Open("a");
    ASSERT_TRUE(cache.ok()) << cache.status();
    EXPECT_FALSE(cache->Find().has_value());
    ASSERT_TRUE(cache->Keep(Matrix()).ok());
    EXPECT_TRUE(cache->Find().has_value());
  }
  EXPECT_FALSE(fs::exists(Path("a.lock")));
  EXPECT_FALSE(Open("b")->Find().has_value());
  const auto found = Open("a")->Find();
  ASSERT_TRUE(found.has_value());
  EXPECT_THAT(found->entries.at("blk.0.attn_q.weight").sums, ElementsAre(2));
}

TEST_F(ImportanceCacheTest, WithoutAFolderNothingIsKept) {
  JobContext context{{}, sink_, threads_};
  auto cache = ImportanceCache::Open("", "a", context);
  ASSERT_TRUE(cache.ok()) << cache.status();
  EXPECT_EQ(cache->snapshot_path(), "");
  EXPECT_TRUE(cache->Keep(Matrix()).ok());
  EXPECT_FALSE(cache->Find().has_value());
}

TEST_F(ImportanceCacheTest, TheSecondJobWaitsAndFindsWhatTheFirstMeasured) {
  std::optional<ImportanceCache> first = *Open("a");
  JobContext context{{}, sink_, threads_};
  bool found = false;
  std::thread second([&] {
    auto cache = ImportanceCache::Open(dir_.path(), "a", context);
    found = cache.ok() && cache->Find().has_value();
  });
  EXPECT_TRUE(Open("b").ok());  // another matrix need not wait
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  ASSERT_TRUE(first->Keep(Matrix()).ok());
  first.reset();
  second.join();
  EXPECT_TRUE(found);
}

TEST_F(ImportanceCacheTest, WaitingEndsWithTheJob) {
  const auto first = Open("a");
  std::stop_source stop;
  JobContext context{stop.get_token(), sink_, threads_};
  absl::Status status;
  std::thread second([&] { status = ImportanceCache::Open(dir_.path(), "a", context).status(); });
  std::this_thread::sleep_for(std::chrono::milliseconds(30));
  stop.request_stop();
  second.join();
  EXPECT_EQ(ErrorOf(status), Error::kCancelled) << status;
}

TEST_F(ImportanceCacheTest, WalksThatNobodyCameBackToGo) {
  for (const char* name : {"old", "young"}) {
    auto cache = Open(name);
    std::ofstream(cache->snapshot_path()) << "a walk";
  }
  Age("old.walk", days(8));
  Age("young.walk", days(6));
  // What was being written as its job died.
  for (const std::string name : {"x.walk.tmp", "activations-1", "y.gguf"}) {
    std::ofstream(Path(name)) << "a part";
    std::ofstream(Path("young-" + name)) << "a part";
    Age(name, days(8));
  }
  std::ofstream(Path("activations-2")) << "a part";
  ASSERT_TRUE(Open("a")->Keep(Matrix()).ok());
  EXPECT_FALSE(fs::exists(Path("old.walk")));
  EXPECT_TRUE(fs::exists(Path("young.walk")));
  for (const char* name : {"x.walk.tmp", "activations-1"}) EXPECT_FALSE(fs::exists(Path(name)));
  for (const char* name : {"young-x.walk.tmp", "activations-2", "y.gguf"}) {
    EXPECT_TRUE(fs::exists(Path(name)));
  }
  EXPECT_TRUE(fs::exists(Path("a.gguf")));
}

TEST_F(ImportanceCacheTest, TooManyMatricesPushOutTheLongestUnused) {
  for (const char* name : {"a", "b", "c"}) {
    ASSERT_TRUE(Open(name)->Keep(Matrix()).ok());
    fs::resize_file(Path(std::string(name) + ".gguf"), 400 << 20);  // holes
  }
  Age("a.gguf", days(1));
  Age("b.gguf", days(3));
  Age("c.gguf", days(2));
  ASSERT_TRUE(Open("d")->Keep(Matrix()).ok());
  EXPECT_FALSE(fs::exists(Path("b.gguf")));
  for (const char* name : {"a.gguf", "c.gguf", "d.gguf"}) EXPECT_TRUE(fs::exists(Path(name)));
}

}  // namespace
}  // namespace quantized
