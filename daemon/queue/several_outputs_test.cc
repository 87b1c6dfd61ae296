#include "daemon/queue/several_outputs.h"

#include <google/protobuf/unknown_field_set.h>

#include <string>

#include "daemon/queue/schema.h"
#include "daemon/queue/store.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/paths.h"

namespace quantized {
namespace {

using google::protobuf::UnknownFieldSet;

// What a program of the first version wrote, for one output.
std::string OldSpec(const std::string& path) {
  v1::JobSpec spec;
  v1::QuantizeSpec& quantize = *spec.mutable_quantize();
  quantize.set_model_name("./model");
  UnknownFieldSet& fields = *v1::QuantizeSpec::GetReflection()->MutableUnknownFields(&quantize);
  fields.AddLengthDelimited(4, "q4_k_m");
  fields.AddLengthDelimited(5, path);
  return spec.SerializeAsString();
}

v1::JobResult OldResult(const std::string& path) {
  v1::QuantizeResult quantize;
  quantize.set_output_path(path);
  quantize.set_file_size_bytes(17);
  v1::JobResult result;
  v1::JobResult::GetReflection()->MutableUnknownFields(&result)->AddLengthDelimited(
      1, quantize.SerializeAsString());
  return result;
}

std::string OldFinished(const std::string& path) {
  v1::JobEvent event;
  event.set_sequence(1);
  event.mutable_finished()->set_state(v1::Job::SUCCEEDED);
  *event.mutable_finished()->mutable_result() = OldResult(path);
  return event.SerializeAsString();
}

// The columns of the first version that matter here; the others have no default there.
constexpr char kOldSchema[] = R"sql(
CREATE TABLE jobs(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  ulid TEXT NOT NULL UNIQUE,
  request_id TEXT NOT NULL UNIQUE,
  spec BLOB NOT NULL,
  output_path TEXT NOT NULL,
  state INTEGER NOT NULL CHECK(state IN (2, 4, 5, 6, 7, 8, 9)),
  reason TEXT NOT NULL DEFAULT '',
  phase INTEGER NOT NULL DEFAULT 0,
  attempt INTEGER NOT NULL DEFAULT 0,
  last_sequence INTEGER NOT NULL,
  crashes INTEGER NOT NULL DEFAULT 0,
  interruptions INTEGER NOT NULL DEFAULT 0,
  run_us INTEGER NOT NULL DEFAULT 0,
  peak_memory_bytes INTEGER NOT NULL DEFAULT 0,
  result BLOB,
  error BLOB,
  created_us INTEGER NOT NULL DEFAULT 0,
  started_us INTEGER,
  ended_us INTEGER,
  CHECK((ended_us IS NULL) = (state < 7))
) STRICT;
CREATE INDEX jobs_live ON jobs(id) WHERE ended_us IS NULL;
CREATE INDEX jobs_outputs ON jobs(output_path, id) WHERE state = 7 AND output_path <> '';
CREATE TABLE attempts(job INTEGER NOT NULL REFERENCES jobs ON DELETE CASCADE) STRICT;
CREATE TABLE events(
  job INTEGER NOT NULL REFERENCES jobs ON DELETE CASCADE,
  sequence INTEGER NOT NULL,
  body BLOB NOT NULL,
  PRIMARY KEY(job, sequence)
) STRICT, WITHOUT ROWID;
CREATE TABLE checkpoints(job INTEGER PRIMARY KEY REFERENCES jobs ON DELETE CASCADE) STRICT;
PRAGMA user_version = 1;
)sql";

class SeveralOutputsTest : public ::testing::Test {
 protected:
  // A store of version 1 with a job that ended well, one that waits, and one that does nothing.
  void WriteOldStore(const std::string& waiting_spec) {
    auto db = Database::Open(path_, "").value();
    ASSERT_TRUE(db->Execute(kOldSchema).ok());
    ASSERT_TRUE(db->Execute("PRAGMA application_id = " + std::to_string(kStoreApplicationId)).ok());
    v1::JobSpec noop;
    noop.mutable_noop();
    Insert(*db, "done", OldSpec("/out/a.gguf"), "/out/a.gguf", 7);
    Insert(*db, "waits", waiting_spec, "/out/b.gguf", 2);
    Insert(*db, "noop", noop.SerializeAsString(), "", 2);
    Statement result = db->Prepare("UPDATE jobs SET result = ?1 WHERE ulid = 'done'").value();
    const std::string old_result = OldResult("/out/a.gguf").SerializeAsString();
    result.Bind(Blob{old_result});
    ASSERT_TRUE(result.Run().ok());
    Statement event = db->Prepare("INSERT INTO events VALUES(1, 1, ?1)").value();
    const std::string old_event = OldFinished("/out/a.gguf");
    event.Bind(Blob{old_event});
    ASSERT_TRUE(event.Run().ok());
  }

  static void Insert(Database& db, std::string_view id, const std::string& spec,
                     std::string_view path, int64_t state) {
    Statement insert =
        db.Prepare(
              "INSERT INTO jobs(ulid, request_id, spec, output_path, state, last_sequence, "
              "ended_us) VALUES(?1, ?1, ?2, ?3, ?4, 1, iif(?4 < 7, NULL, 9))")
            .value();
    insert.Bind(id, Blob{spec}, path, state);
    ASSERT_TRUE(insert.Run().ok());
  }

  testing::TempDir dir_;
  const std::filesystem::path path_ = dir_.path() / "quantized.db";
};

TEST_F(SeveralOutputsTest, AStoreOfTheFirstVersionKeepsItsJobs) {
  WriteOldStore(OldSpec("/out/b.gguf"));
  const auto store = Store::Open({.path = path_});
  ASSERT_TRUE(store.ok()) << store.status();
  const auto done = (*store)->FindJob("done").value();
  ASSERT_TRUE(done.has_value());
  EXPECT_EQ(done->job.spec().quantize().outputs(0).level(), "q4_k_m");
  EXPECT_EQ(done->job.spec().quantize().outputs(0).path(), "/out/a.gguf");
  EXPECT_EQ(done->job.spec().quantize().model_name(), "./model");
  EXPECT_EQ(done->job.result().quantize().outputs(0).file_size_bytes(), 17u);
  EXPECT_EQ((*store)->ResultAt("/out/a.gguf").value()->file_size_bytes(), 17u);
  EXPECT_FALSE((*store)->ResultAt("/out/b.gguf").value().has_value());
  const auto events = (*store)->Events(done->row, 0, 10).value();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].finished().result().quantize().outputs(0).output_path(), "/out/a.gguf");

  const auto live = (*store)->LiveJobs().value();
  ASSERT_EQ(live.size(), 2u);
  EXPECT_EQ(live[0].job.spec().quantize().outputs(0).path(), "/out/b.gguf");
  EXPECT_TRUE(live[1].job.spec().has_noop());
}

TEST_F(SeveralOutputsTest, ADamagedMessageLeavesTheStoreAsItWas) {
  WriteOldStore("\x0A\xFF");
  EXPECT_FALSE(Store::Open({.path = path_}).ok());
  auto db = Database::Open(path_, "").value();
  EXPECT_EQ(db->QueryText("PRAGMA user_version").value(), "1");
  EXPECT_EQ(db->QueryText("SELECT count(output_path) FROM jobs").value(), "3");
}

}  // namespace
}  // namespace quantized
