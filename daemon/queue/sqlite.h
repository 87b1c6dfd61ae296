// The little of SQLite that the store needs, with its errors as statuses: kDiskFull when the disk
// is full, kOutOfMemory, otherwise kIo; a damaged file says so. Not thread-safe: one thread owns a
// Database and its statements.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace quantized {

// A value that is bound as BLOB instead of TEXT.
struct Blob {
  std::string_view bytes;
};

// A prepared statement, used again and again: Bind, then Step until false (or Run), which resets
// it. Must die before its Database.
class Statement {
 public:
  // Binds the values to ?1, ?2, … in order. Text and blobs are copied.
  template <typename... Values>
  Statement& Bind(const Values&... values) {
    int index = 0;
    (BindOne(++index, values), ...);
    return *this;
  }

  // True: there is a row, read it with the accessors. False: done, the statement is reset. After an
  // error it is reset too.
  absl::StatusOr<bool> Step();
  // For statements without rows, and for the first row alone.
  absl::Status Run();
  void Reset();

  // Columns of the current row, from 0. The views hold until the next Step, Run or Reset.
  int64_t Int(int column) const { return sqlite3_column_int64(statement_.get(), column); }
  bool IsNull(int column) const {
    return sqlite3_column_type(statement_.get(), column) == SQLITE_NULL;
  }
  std::string_view Bytes(int column) const;

 private:
  friend class Database;
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
  };
  Statement(sqlite3* db, sqlite3_stmt* statement, std::string path)
      : db_(db), statement_(statement), path_(std::move(path)) {}

  void BindOne(int index, int64_t value);
  void BindOne(int index, std::string_view text);
  void BindOne(int index, Blob blob);
  void BindOne(int index, std::optional<int64_t> value);
  void BindOne(int index, std::optional<Blob> value);

  sqlite3* db_;
  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
  std::string path_;
};

class Database {
 public:
  // Opens or creates the file through the VFS called `vfs` (empty: the default one).
  static absl::StatusOr<std::unique_ptr<Database>> Open(const std::filesystem::path& path,
                                                        const std::string& vfs);

  // Runs statements that return nothing of interest.
  absl::Status Execute(const std::string& sql);
  // The first column of the first row, as text.
  absl::StatusOr<std::string> QueryText(const std::string& sql);
  absl::StatusOr<Statement> Prepare(std::string_view sql);

  // Rows changed by the last INSERT, UPDATE or DELETE.
  int64_t changes() const { return sqlite3_changes64(db_.get()); }
  int64_t last_insert_id() const { return sqlite3_last_insert_rowid(db_.get()); }
  bool in_transaction() const { return sqlite3_get_autocommit(db_.get()) == 0; }
  sqlite3* handle() const { return db_.get(); }

 private:
  struct Close {
    void operator()(sqlite3* db) const { sqlite3_close_v2(db); }
  };
  Database(sqlite3* db, std::string path) : db_(db), path_(std::move(path)) {}

  std::unique_ptr<sqlite3, Close> db_;
  std::string path_;
};

}  // namespace quantized
