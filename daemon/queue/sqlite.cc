#include "daemon/queue/sqlite.h"

#include "absl/strings/str_cat.h"
#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"

namespace quantized {
namespace {

absl::Status SqliteError(sqlite3* db, int code, const std::string& path) {
  const std::string found = db == nullptr ? sqlite3_errstr(code) : sqlite3_errmsg(db);
  switch (code & 0xFF) {
    case SQLITE_FULL:
      return MakeError(Error::kDiskFull, absl::StrCat("store ", path, ": the disk is full"),
                       "free some disk space");
    case SQLITE_NOMEM:
      return MakeError(Error::kOutOfMemory, absl::StrCat("store ", path, ": out of memory"));
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return MakeError(Error::kIo, absl::StrCat("store ", path, " is damaged: ", found),
                       absl::StrCat("move ", path, " away or restore it from a backup"));
    case SQLITE_BUSY:
      return MakeError(Error::kIo, absl::StrCat("store ", path, " is in use by another program"));
    default:
      return MakeError(Error::kIo,
                       absl::StrCat("store ", path, ": ", found, " (SQLite code ", code, ")"));
  }
}

}  // namespace

absl::StatusOr<bool> Statement::Step() {
  const int code = sqlite3_step(statement_.get());
  if (code == SQLITE_ROW) return true;
  absl::Status status;
  if (code != SQLITE_DONE) status = SqliteError(db_, sqlite3_extended_errcode(db_), path_);
  Reset();
  if (!status.ok()) return status;
  return false;
}

absl::Status Statement::Run() {
  const absl::StatusOr<bool> row = Step();
  if (row.ok() && *row) Reset();
  return row.status();
}

void Statement::Reset() {
  sqlite3_reset(statement_.get());
  sqlite3_clear_bindings(statement_.get());
}

std::string_view Statement::Bytes(int column) const {
  const void* data = sqlite3_column_blob(statement_.get(), column);
  const int size = sqlite3_column_bytes(statement_.get(), column);
  return data == nullptr ? std::string_view()
                         : std::string_view(static_cast<const char*>(data), size);
}

// Binding fails only for a wrong index, or for want of memory, which Step then reports.
void Statement::BindOne(int index, int64_t value) {
  CHECK(sqlite3_bind_int64(statement_.get(), index, value) != SQLITE_RANGE);
}

void Statement::BindOne(int index, std::string_view text) {
  CHECK(sqlite3_bind_text64(statement_.get(), index, text.data(), text.size(), SQLITE_TRANSIENT,
                            SQLITE_UTF8) != SQLITE_RANGE);
}

void Statement::BindOne(int index, Blob blob) {
  // A null pointer would bind NULL.
  const char* data = blob.bytes.empty() ? "" : blob.bytes.data();
  CHECK(sqlite3_bind_blob64(statement_.get(), index, data, blob.bytes.size(), SQLITE_TRANSIENT) !=
        SQLITE_RANGE);
}

void Statement::BindOne(int index, std::optional<int64_t> value) {
  if (value) return BindOne(index, *value);
  CHECK(sqlite3_bind_null(statement_.get(), index) != SQLITE_RANGE);
}

void Statement::BindOne(int index, std::optional<Blob> value) {
  if (value) return BindOne(index, *value);
  CHECK(sqlite3_bind_null(statement_.get(), index) != SQLITE_RANGE);
}

absl::StatusOr<std::unique_ptr<Database>> Database::Open(const std::filesystem::path& path,
                                                         const std::string& vfs) {
  sqlite3* handle = nullptr;
  const int code = sqlite3_open_v2(
      path.c_str(), &handle,
      SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE,
      vfs.empty() ? nullptr : vfs.c_str());
  std::unique_ptr<Database> db(new Database(handle, path.string()));
  if (code != SQLITE_OK) return SqliteError(handle, code, path.string());
  return db;
}

absl::Status Database::Execute(const std::string& sql) {
  const int code = sqlite3_exec(db_.get(), sql.c_str(), nullptr, nullptr, nullptr);
  return code == SQLITE_OK ? absl::OkStatus() : SqliteError(db_.get(), code, path_);
}

absl::StatusOr<std::string> Database::QueryText(const std::string& sql) {
  ASSIGN_OR_RETURN(Statement statement, Prepare(sql));
  ASSIGN_OR_RETURN(const bool row, statement.Step());
  return row ? std::string(statement.Bytes(0)) : std::string();
}

absl::StatusOr<Statement> Database::Prepare(std::string_view sql) {
  sqlite3_stmt* statement = nullptr;
  const int code = sqlite3_prepare_v3(db_.get(), sql.data(), static_cast<int>(sql.size()),
                                      SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
  if (code != SQLITE_OK) return SqliteError(db_.get(), code, path_);
  return Statement(db_.get(), statement, path_);
}

}  // namespace quantized
