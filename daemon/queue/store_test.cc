#include "daemon/queue/store.h"

#include <sys/stat.h>

#include <fstream>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/ids.h"
#include "daemon/queue/clock.h"
#include "daemon/queue/schema.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/paths.h"

namespace quantized {
namespace {

using ::testing::HasSubstr;

StoredJob NewJob(const std::vector<std::string>& output_paths = {"/out/model.gguf"}) {
  StoredJob stored;
  stored.job.set_id(NewUlid());
  stored.job.set_request_id(NewUuid());
  for (const std::string& path : output_paths) {
    stored.job.mutable_spec()->mutable_quantize()->add_outputs()->set_path(path);
  }
  stored.job.set_state(v1::Job::PENDING);
  stored.job.set_reason("QUEUED");
  *stored.job.mutable_create_time() = TimestampOf(NowMicros());
  return stored;
}

void AddResult(const std::string& path, uint64_t size, v1::JobResult& result) {
  v1::QuantizeResult& output = *result.mutable_quantize()->add_outputs();
  output.set_output_path(path);
  output.set_file_size_bytes(size);
}

class StoreTest : public ::testing::Test {
 protected:
  std::filesystem::path Path() const { return dir_.path() / "quantized.db"; }
  std::unique_ptr<Store> Open() {
    auto store = Store::Open({.path = Path()});
    EXPECT_TRUE(store.ok()) << store.status();
    return store.ok() ? std::move(*store) : nullptr;
  }
  // Opens, changes, closes.
  void Change(const std::string& sql) {
    auto db = Database::Open(Path(), "");
    ASSERT_TRUE(db.ok());
    ASSERT_TRUE((*db)->Execute(sql).ok());
  }

  testing::TempDir dir_;
};

TEST_F(StoreTest, KeepsWhatWasCommittedAcrossReopening) {
  StoredJob stored = NewJob();
  v1::JobEvent event;
  event.set_sequence(1);
  event.mutable_message()->set_line("Loading model: ./model");
  {
    auto store = Open();
    ASSERT_TRUE(store->Begin().ok());
    ASSERT_TRUE(store->InsertJob(stored).ok());
    ASSERT_TRUE(store->AppendEvent(stored.row, event).ok());
    stored.job.set_state(v1::Job::STARTING);
    stored.job.set_attempt(1);
    stored.run_us = 17;
    ASSERT_TRUE(store->UpdateJob(stored, v1::Job::PENDING, 0).value());
    ASSERT_TRUE(store->PutAttempt({.job_row = stored.row, .number = 1, .pid = 42}).ok());
    ASSERT_TRUE(store->PutCheckpoint(stored.row, {.path = "/c", .units = 3}, 1).ok());
    ASSERT_TRUE(store->Commit().ok());
  }
  auto store = Open();
  auto found = store->FindJob(stored.job.id());
  ASSERT_TRUE(found.ok() && found->has_value());
  EXPECT_EQ((*found)->job.SerializeAsString(), stored.job.SerializeAsString());
  EXPECT_EQ((*found)->run_us, 17);
  auto events = store->Events(stored.row, 0, 10);
  ASSERT_EQ(events->size(), 1u);
  EXPECT_EQ(events->front().message().line(), "Loading model: ./model");
  auto attempts = store->OpenAttempts();
  ASSERT_EQ(attempts->size(), 1u);
  EXPECT_EQ(attempts->front().pid, 42);
  EXPECT_EQ(store->FindCheckpoint(stored.row).value()->units, 3);
  EXPECT_EQ(store->LiveJobs()->size(), 1u);
}

TEST_F(StoreTest, RollsBack) {
  auto store = Open();
  StoredJob stored = NewJob();
  ASSERT_TRUE(store->Begin().ok());
  ASSERT_TRUE(store->InsertJob(stored).ok());
  store->Rollback();
  EXPECT_FALSE(store->FindJob(stored.job.id()).value().has_value());
}

TEST_F(StoreTest, UpdatesOnlyWhatIsAsExpected) {
  auto store = Open();
  StoredJob stored = NewJob();
  ASSERT_TRUE(store->InsertJob(stored).ok());
  stored.job.set_state(v1::Job::STARTING);
  EXPECT_FALSE(store->UpdateJob(stored, v1::Job::RUNNING, 0).value());
  EXPECT_FALSE(store->UpdateJob(stored, v1::Job::PENDING, 1).value());
  EXPECT_TRUE(store->UpdateJob(stored, v1::Job::PENDING, 0).value());
  EXPECT_FALSE(store->UpdateJob(stored, v1::Job::PENDING, 0).value());
}

TEST_F(StoreTest, ListsNewestFirstByPageAndState) {
  auto store = Open();
  std::vector<std::string> ids;
  for (int i = 0; i < 5; ++i) {
    StoredJob stored = NewJob();
    ASSERT_TRUE(store->InsertJob(stored).ok());
    if (i % 2 == 1) {
      stored.job.set_state(v1::Job::CANCELLED);
      *stored.job.mutable_end_time() = TimestampOf(NowMicros());
      ASSERT_TRUE(store->UpdateJob(stored, v1::Job::PENDING, 0).value());
    }
    ids.push_back(stored.job.id());
  }
  const auto list = [&](std::vector<v1::Job::State> states, int64_t before, int limit) {
    std::vector<std::string> found;
    const auto jobs = store->ListJobs(states, before, limit);
    for (const StoredJob& stored : *jobs) found.push_back(stored.job.id());
    return found;
  };
  using Ids = std::vector<std::string>;
  EXPECT_EQ(list({}, 100, 3), (Ids{ids[4], ids[3], ids[2]}));
  EXPECT_EQ(list({}, 3, 3), (Ids{ids[1], ids[0]}));
  EXPECT_EQ(list({v1::Job::PENDING}, 100, 10), (Ids{ids[4], ids[2], ids[0]}));
  EXPECT_EQ(list({v1::Job::CANCELLED}, 100, 10), (Ids{ids[3], ids[1]}));
  EXPECT_EQ(list({v1::Job::RUNNING}, 100, 10), Ids{});
}

TEST_F(StoreTest, FindsTheNewestResultOfAnOutputPath) {
  auto store = Open();
  for (const uint64_t size : {1, 2}) {
    StoredJob stored = NewJob({"/out/a.gguf"});
    ASSERT_TRUE(store->InsertJob(stored).ok());
    stored.job.set_state(v1::Job::SUCCEEDED);
    *stored.job.mutable_end_time() = TimestampOf(NowMicros());
    AddResult("/out/a.gguf", size, *stored.job.mutable_result());
    ASSERT_TRUE(store->UpdateJob(stored, v1::Job::PENDING, 0).value());
  }
  EXPECT_EQ(store->ResultAt("/out/a.gguf").value()->file_size_bytes(), 2u);
  EXPECT_FALSE(store->ResultAt("/out/b.gguf").value().has_value());
}

TEST_F(StoreTest, FindsWhatAFailedJobFinished) {
  auto store = Open();
  StoredJob stored = NewJob({"/out/a.gguf", "/out/b.gguf"});
  ASSERT_TRUE(store->InsertJob(stored).ok());
  stored.job.set_state(v1::Job::FAILED);
  *stored.job.mutable_end_time() = TimestampOf(NowMicros());
  stored.job.mutable_error()->set_message("the second level failed");
  AddResult("/out/a.gguf", 7, *stored.job.mutable_finished());
  ASSERT_TRUE(store->UpdateJob(stored, v1::Job::PENDING, 0).value());
  EXPECT_EQ(store->ResultAt("/out/a.gguf").value()->file_size_bytes(), 7u);
  EXPECT_FALSE(store->ResultAt("/out/b.gguf").value().has_value());
  store.reset();
  store = Open();
  const auto found = store->FindJob(stored.job.id()).value();
  EXPECT_EQ(found->job.SerializeAsString(), stored.job.SerializeAsString());
}

TEST_F(StoreTest, RemovesOldJobsWithAllThatBelongsToThem) {
  auto store = Open();
  StoredJob stored = NewJob();
  ASSERT_TRUE(store->InsertJob(stored).ok());
  v1::JobEvent event;
  event.set_sequence(1);
  ASSERT_TRUE(store->AppendEvent(stored.row, event).ok());
  stored.job.set_state(v1::Job::CANCELLED);
  *stored.job.mutable_end_time() = TimestampOf(1000);
  ASSERT_TRUE(store->UpdateJob(stored, v1::Job::PENDING, 0).value());
  EXPECT_EQ(store->RemoveJobsEndedBefore(1000).value(), 0);
  EXPECT_EQ(store->RemoveJobsEndedBefore(1001).value(), 1);
  EXPECT_TRUE(store->Events(stored.row, 0, 10)->empty());
}

TEST_F(StoreTest, IsPrivateAndHeldExclusively) {
  auto store = Open();
  StoredJob stored = NewJob();
  ASSERT_TRUE(store->InsertJob(stored).ok());
  for (const char* suffix : {"", "-wal"}) {
    struct stat found;
    ASSERT_EQ(stat((Path().string() + suffix).c_str(), &found), 0) << suffix;
    EXPECT_EQ(found.st_mode & 0777, 0600u) << suffix;
  }
  EXPECT_FALSE(std::filesystem::exists(Path().string() + "-shm"));
  const auto second = Store::Open({.path = Path()});
  ASSERT_FALSE(second.ok());
  EXPECT_THAT(std::string(second.status().message()), HasSubstr("in use"));
}

TEST_F(StoreTest, RefusesANewerSchema) {
  Open();
  Change("PRAGMA user_version = " + std::to_string(NewestSchemaVersion() + 1));
  const auto store = Store::Open({.path = Path()});
  ASSERT_FALSE(store.ok());
  EXPECT_EQ(ErrorOf(store.status()), Error::kVersionSkew);
}

TEST_F(StoreTest, RefusesADatabaseOfAnotherProgram) {
  Change("CREATE TABLE theirs(x); PRAGMA user_version = 1");
  const auto store = Store::Open({.path = Path()});
  ASSERT_FALSE(store.ok());
  EXPECT_THAT(std::string(store.status().message()), HasSubstr("another program"));
}

TEST_F(StoreTest, RefusesAFileThatIsNoDatabase) {
  ASSERT_TRUE(WriteFileAtomically(Path(), std::string(8192, 'x')).ok());
  const auto store = Store::Open({.path = Path()});
  ASSERT_FALSE(store.ok());
  EXPECT_THAT(std::string(store.status().message()), HasSubstr("damaged"));
}

// Every page but the first is overwritten in turn: no store opens as if nothing had happened.
TEST_F(StoreTest, RefusesDamagedPages) {
  {
    auto store = Open();
    ASSERT_TRUE(store->Begin().ok());
    for (int i = 0; i < 200; ++i) {
      StoredJob stored = NewJob();
      ASSERT_TRUE(store->InsertJob(stored).ok());
    }
    ASSERT_TRUE(store->Commit().ok());
  }
  const std::string whole = ReadFile(Path(), 1 << 24).value();
  constexpr size_t kPage = 4096;
  ASSERT_GT(whole.size(), 4 * kPage);
  for (size_t page = 1; page < whole.size() / kPage; ++page) {
    SCOPED_TRACE(page);
    std::string damaged = whole;
    damaged.replace(page * kPage, kPage, std::string(kPage, '\xA5'));
    ASSERT_TRUE(WriteFileAtomically(Path(), damaged).ok());
    EXPECT_FALSE(Store::Open({.path = Path()}).ok());
  }
  ASSERT_TRUE(WriteFileAtomically(Path(), whole.substr(0, whole.size() / 2)).ok());
  EXPECT_FALSE(Store::Open({.path = Path()}).ok());
}

}  // namespace
}  // namespace quantized
