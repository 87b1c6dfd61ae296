// A SQLite VFS over the real one whose operations fail when a test says so, and which can lose what
// was not synced, as a power cut does. Thread-safe. Must outlive the databases that use it.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "core/base/mutex.h"

namespace quantized::testing {

class FaultyVfs {
 public:
  // `on_fault` is called, on the thread that meets it, for the first operation that fails.
  explicit FaultyVfs(std::function<void()> on_fault = nullptr);
  ~FaultyVfs();
  FaultyVfs(const FaultyVfs&) = delete;
  FaultyVfs& operator=(const FaultyVfs&) = delete;

  // Give this to Store::Options::vfs.
  const std::string& name() const { return name_; }

  // Reads, writes, truncations, syncs, openings and deletions so far.
  int64_t operations() const;
  // The operation with this number (from 0), and with `forever` all after it, fail. Writes fail as
  // on a full disk if `disk_full`, otherwise everything as on a broken one.
  void FailAt(int64_t operation, bool forever, bool disk_full = false);
  bool failed() const;

  // With all databases closed: takes back every write since its file's last successful sync.
  void CutPower();

 private:
  friend struct FaultyFile;
  friend struct FaultyVfsCallbacks;

  // What a write or truncation replaced.
  struct Undo {
    int64_t offset = 0;
    std::string bytes;
    int64_t file_size = 0;
  };

  // Counts an operation; not SQLITE_OK: it fails with this code.
  int Meet(int failure, bool is_write);
  void Remember(const std::string& path, Undo undo);
  void Synced(const std::string& path);

  const std::string name_;
  const std::function<void()> on_fault_;
  sqlite3_vfs* const real_;
  sqlite3_vfs vfs_;

  mutable Mutex mutex_;
  int64_t operations_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t fail_at_ ABSL_GUARDED_BY(mutex_) = -1;
  bool forever_ ABSL_GUARDED_BY(mutex_) = false;
  bool disk_full_ ABSL_GUARDED_BY(mutex_) = false;
  bool failed_ ABSL_GUARDED_BY(mutex_) = false;
  std::map<std::string, std::vector<Undo>> unsynced_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace quantized::testing
