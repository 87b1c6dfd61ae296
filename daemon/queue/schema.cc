#include "daemon/queue/schema.h"

#include <array>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "daemon/queue/several_outputs.h"

namespace quantized {
namespace {

struct Migration {
  int version;
  const char* sql;
  // What SQL alone cannot do, after it and in its transaction.
  absl::Status (*convert)(Database& db) = nullptr;
};

// Times are microseconds since 1970, for show; durations are measured apart (`run_us`). Messages
// (spec, result, error, event bodies) are those of proto/quantized/v1, numbers of states too.
constexpr std::array kMigrations = {
    Migration{1, R"sql(
CREATE TABLE jobs(
  id INTEGER PRIMARY KEY AUTOINCREMENT,  -- order of submission
  ulid TEXT NOT NULL UNIQUE,
  request_id TEXT NOT NULL UNIQUE,
  spec BLOB NOT NULL,
  output_path TEXT NOT NULL,             -- '' where a job writes nothing
  state INTEGER NOT NULL CHECK(state IN (2, 4, 5, 6, 7, 8, 9)),
  reason TEXT NOT NULL,
  phase INTEGER NOT NULL,
  attempt INTEGER NOT NULL,              -- begun so far
  last_sequence INTEGER NOT NULL,
  crashes INTEGER NOT NULL,              -- of workers, in a row, without a new unit
  interruptions INTEGER NOT NULL,        -- by the daemon's death, in a row, without a new unit
  run_us INTEGER NOT NULL,               -- of all ended attempts
  peak_memory_bytes INTEGER NOT NULL,    -- the highest of all attempts
  result BLOB,
  error BLOB,
  created_us INTEGER NOT NULL,
  started_us INTEGER,
  ended_us INTEGER,
  CHECK((ended_us IS NULL) = (state < 7))
) STRICT;
CREATE INDEX jobs_live ON jobs(id) WHERE ended_us IS NULL;
CREATE INDEX jobs_outputs ON jobs(output_path, id) WHERE state = 7 AND output_path <> '';

CREATE TABLE attempts(
  job INTEGER NOT NULL REFERENCES jobs ON DELETE CASCADE,
  number INTEGER NOT NULL,
  boot_id TEXT NOT NULL,
  pid INTEGER,                           -- with pid_start_ticks and boot_id: the process, for ever
  pid_start_ticks INTEGER,
  units_before INTEGER NOT NULL,         -- durable when it began
  run_us INTEGER NOT NULL,
  peak_memory_bytes INTEGER NOT NULL,
  exit_code INTEGER,
  signal INTEGER,
  started_us INTEGER NOT NULL,
  ended_us INTEGER,
  PRIMARY KEY(job, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE events(
  job INTEGER NOT NULL REFERENCES jobs ON DELETE CASCADE,
  sequence INTEGER NOT NULL,
  body BLOB NOT NULL,
  PRIMARY KEY(job, sequence)
) STRICT, WITHOUT ROWID;

CREATE TABLE checkpoints(
  job INTEGER PRIMARY KEY REFERENCES jobs ON DELETE CASCADE,
  path TEXT NOT NULL,
  units INTEGER NOT NULL,
  saved_us INTEGER NOT NULL
) STRICT;
)sql"},
    // A job makes several outputs. `finished`: of a job that failed, what it made all the same; of
    // an output, that an ended job made it.
    Migration{2, R"sql(
ALTER TABLE jobs ADD COLUMN finished BLOB;
CREATE TABLE outputs(
  job INTEGER NOT NULL REFERENCES jobs ON DELETE CASCADE,
  path TEXT NOT NULL,
  finished INTEGER NOT NULL CHECK(finished IN (0, 1)),
  PRIMARY KEY(job, path)
) STRICT, WITHOUT ROWID;
CREATE INDEX outputs_finished ON outputs(path, job) WHERE finished = 1;
INSERT INTO outputs SELECT id, output_path, state = 7 FROM jobs WHERE output_path <> '';
DROP INDEX jobs_outputs;
ALTER TABLE jobs DROP COLUMN output_path;
)sql",
              &ConvertToSeveralOutputs},
};

constexpr bool CountsFromOne() {
  for (size_t i = 0; i < kMigrations.size(); ++i) {
    if (kMigrations[i].version != static_cast<int>(i) + 1) return false;
  }
  return true;
}
static_assert(CountsFromOne());

absl::StatusOr<int> Pragma(Database& db, const std::string& name) {
  ASSIGN_OR_RETURN(const std::string text, db.QueryText(absl::StrCat("PRAGMA ", name)));
  int value = 0;
  if (!absl::SimpleAtoi(text, &value)) {
    return MakeError(Error::kIo, absl::StrCat("store: PRAGMA ", name, " gave '", text, "'"));
  }
  return value;
}

absl::Status Migrate(Database& db, const Migration& migration) {
  RETURN_IF_ERROR(db.Execute(absl::StrCat("BEGIN IMMEDIATE;", migration.sql)));
  if (migration.convert != nullptr) {
    RETURN_IF_ERROR(migration.convert(db));
  }
  return db.Execute(absl::StrCat("PRAGMA application_id = ", kStoreApplicationId,
                                 "; PRAGMA user_version = ", migration.version, "; COMMIT;"));
}

}  // namespace

int NewestSchemaVersion() { return kMigrations.back().version; }

absl::Status MigrateSchema(Database& db) {
  ASSIGN_OR_RETURN(const int application_id, Pragma(db, "application_id"));
  ASSIGN_OR_RETURN(const int found_version, Pragma(db, "user_version"));
  ASSIGN_OR_RETURN(const std::string tables, db.QueryText("SELECT count(*) FROM sqlite_schema"));
  const bool empty = tables == "0" && application_id == 0 && found_version == 0;
  if (!empty && application_id != kStoreApplicationId) {
    return MakeError(Error::kIo, "store: the file is a database of another program",
                     "give another --state-dir");
  }
  if (found_version > NewestSchemaVersion()) {
    return MakeError(Error::kVersionSkew,
                     absl::StrCat("store: found schema version ", found_version,
                                  ", this program knows up to ", NewestSchemaVersion()),
                     "use the newer version of the program");
  }
  for (const Migration& migration : kMigrations) {
    if (migration.version <= found_version) continue;
    if (absl::Status status = Migrate(db, migration); !status.ok()) {
      if (db.in_transaction()) db.Execute("ROLLBACK").IgnoreError();
      RETURN_IF_ERROR(status) << "migrating the store to version " << migration.version;
    }
  }
  return absl::OkStatus();
}

}  // namespace quantized
