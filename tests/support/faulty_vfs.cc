#include "tests/support/faulty_vfs.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/check.h"

namespace quantized::testing {

// A file of ours; the real one's structure follows it in memory.
struct FaultyFile {
  sqlite3_file base;
  FaultyVfs* vfs;
  std::string* path;
  sqlite3_file* real() { return reinterpret_cast<sqlite3_file*>(this + 1); }
  static FaultyFile* Of(sqlite3_file* file) { return reinterpret_cast<FaultyFile*>(file); }

  // Remembers what `size` bytes at `offset` (or the end beyond `offset`) were.
  void RememberOld(sqlite3_int64 offset, sqlite3_int64 size) {
    sqlite3_int64 file_size = 0;
    CHECK(real()->pMethods->xFileSize(real(), &file_size) == SQLITE_OK);
    FaultyVfs::Undo undo{.offset = offset, .bytes = "", .file_size = file_size};
    const sqlite3_int64 old = std::max<sqlite3_int64>(0, std::min(size, file_size - offset));
    undo.bytes.resize(static_cast<size_t>(old));
    if (old > 0) {
      CHECK(real()->pMethods->xRead(real(), undo.bytes.data(), static_cast<int>(old), offset) ==
            SQLITE_OK);
    }
    vfs->Remember(*path, std::move(undo));
  }
};

struct FaultyVfsCallbacks {
  static int Close(sqlite3_file* file) {
    FaultyFile* self = FaultyFile::Of(file);
    delete self->path;
    return self->real()->pMethods->xClose(self->real());
  }
  static int Read(sqlite3_file* file, void* out, int size, sqlite3_int64 offset) {
    FaultyFile* self = FaultyFile::Of(file);
    const int fault = self->vfs->Meet(SQLITE_IOERR_READ, /*is_write=*/false);
    return fault != SQLITE_OK ? fault
                              : self->real()->pMethods->xRead(self->real(), out, size, offset);
  }
  static int Write(sqlite3_file* file, const void* bytes, int size, sqlite3_int64 offset) {
    FaultyFile* self = FaultyFile::Of(file);
    const int fault = self->vfs->Meet(SQLITE_IOERR_WRITE, /*is_write=*/true);
    if (fault != SQLITE_OK) return fault;
    self->RememberOld(offset, size);
    return self->real()->pMethods->xWrite(self->real(), bytes, size, offset);
  }
  static int Truncate(sqlite3_file* file, sqlite3_int64 size) {
    FaultyFile* self = FaultyFile::Of(file);
    const int fault = self->vfs->Meet(SQLITE_IOERR_TRUNCATE, /*is_write=*/true);
    if (fault != SQLITE_OK) return fault;
    self->RememberOld(size, INT64_MAX);
    return self->real()->pMethods->xTruncate(self->real(), size);
  }
  // The real disk is not asked: no power is cut but by CutPower, and syncing takes most of a test's
  // time.
  static int Sync(sqlite3_file* file, int) {
    FaultyFile* self = FaultyFile::Of(file);
    const int fault = self->vfs->Meet(SQLITE_IOERR_FSYNC, /*is_write=*/false);
    if (fault == SQLITE_OK) self->vfs->Synced(*self->path);
    return fault;
  }
  static int FileSize(sqlite3_file* file, sqlite3_int64* size) {
    FaultyFile* self = FaultyFile::Of(file);
    return self->real()->pMethods->xFileSize(self->real(), size);
  }
  static int Lock(sqlite3_file* file, int level) {
    FaultyFile* self = FaultyFile::Of(file);
    return self->real()->pMethods->xLock(self->real(), level);
  }
  static int Unlock(sqlite3_file* file, int level) {
    FaultyFile* self = FaultyFile::Of(file);
    return self->real()->pMethods->xUnlock(self->real(), level);
  }
  static int CheckReservedLock(sqlite3_file* file, int* reserved) {
    FaultyFile* self = FaultyFile::Of(file);
    return self->real()->pMethods->xCheckReservedLock(self->real(), reserved);
  }
  static int FileControl(sqlite3_file* file, int operation, void* argument) {
    FaultyFile* self = FaultyFile::Of(file);
    return self->real()->pMethods->xFileControl(self->real(), operation, argument);
  }
  static int SectorSize(sqlite3_file* file) {
    FaultyFile* self = FaultyFile::Of(file);
    return self->real()->pMethods->xSectorSize(self->real());
  }
  static int DeviceCharacteristics(sqlite3_file* file) {
    FaultyFile* self = FaultyFile::Of(file);
    return self->real()->pMethods->xDeviceCharacteristics(self->real());
  }

  static int Open(sqlite3_vfs* vfs, const char* path, sqlite3_file* file, int flags,
                  int* out_flags) {
    // Version 1: no shared memory and no mapping, which an exclusive store does not use.
    static constexpr sqlite3_io_methods kMethods = {
        .iVersion = 1,
        .xClose = Close,
        .xRead = Read,
        .xWrite = Write,
        .xTruncate = Truncate,
        .xSync = Sync,
        .xFileSize = FileSize,
        .xLock = Lock,
        .xUnlock = Unlock,
        .xCheckReservedLock = CheckReservedLock,
        .xFileControl = FileControl,
        .xSectorSize = SectorSize,
        .xDeviceCharacteristics = DeviceCharacteristics};
    auto* self = static_cast<FaultyVfs*>(vfs->pAppData);
    file->pMethods = nullptr;
    const int fault = self->Meet(SQLITE_CANTOPEN, /*is_write=*/false);
    if (fault != SQLITE_OK) return fault;
    FaultyFile* opened = FaultyFile::Of(file);
    const int result = self->real_->xOpen(self->real_, path, opened->real(), flags, out_flags);
    if (result != SQLITE_OK) return result;
    opened->vfs = self;
    opened->path = new std::string(path == nullptr ? "" : path);
    opened->base.pMethods = &kMethods;
    return SQLITE_OK;
  }
  static int Delete(sqlite3_vfs* vfs, const char* path, int sync_directory) {
    auto* self = static_cast<FaultyVfs*>(vfs->pAppData);
    const int fault = self->Meet(SQLITE_IOERR_DELETE, /*is_write=*/false);
    if (fault != SQLITE_OK) return fault;
    self->Synced(path);
    return self->real_->xDelete(self->real_, path, sync_directory);
  }
};

namespace {

std::string UniqueName() {
  static std::atomic<int> count{0};
  return absl::StrCat("faulty-", ++count);
}

}  // namespace

FaultyVfs::FaultyVfs(std::function<void()> on_fault)
    : name_(UniqueName()),
      on_fault_(std::move(on_fault)),
      real_(sqlite3_vfs_find(nullptr)),
      vfs_(*real_) {
  vfs_.szOsFile = static_cast<int>(sizeof(FaultyFile)) + real_->szOsFile;
  vfs_.pNext = nullptr;
  vfs_.zName = name_.c_str();
  vfs_.pAppData = this;
  vfs_.xOpen = FaultyVfsCallbacks::Open;
  vfs_.xDelete = FaultyVfsCallbacks::Delete;
  CHECK(sqlite3_vfs_register(&vfs_, /*makeDflt=*/0) == SQLITE_OK);
}

FaultyVfs::~FaultyVfs() { sqlite3_vfs_unregister(&vfs_); }

int64_t FaultyVfs::operations() const {
  MutexLock lock(mutex_);
  return operations_;
}

void FaultyVfs::FailAt(int64_t operation, bool forever, bool disk_full) {
  MutexLock lock(mutex_);
  fail_at_ = operation;
  forever_ = forever;
  disk_full_ = disk_full;
}

bool FaultyVfs::failed() const {
  MutexLock lock(mutex_);
  return failed_;
}

int FaultyVfs::Meet(int failure, bool is_write) {
  bool first = false;
  {
    MutexLock lock(mutex_);
    const int64_t number = operations_++;
    const bool hit = fail_at_ >= 0 && (forever_ ? number >= fail_at_ : number == fail_at_);
    if (!hit || (disk_full_ && !is_write)) return SQLITE_OK;
    first = !std::exchange(failed_, true);
    if (disk_full_) failure = SQLITE_FULL;
  }
  if (first && on_fault_) on_fault_();
  return failure;
}

void FaultyVfs::Remember(const std::string& path, Undo undo) {
  MutexLock lock(mutex_);
  unsynced_[path].push_back(std::move(undo));
}

void FaultyVfs::Synced(const std::string& path) {
  MutexLock lock(mutex_);
  unsynced_.erase(path);
}

void FaultyVfs::CutPower() {
  MutexLock lock(mutex_);
  for (auto& [path, undos] : unsynced_) {
    const int fd = open(path.c_str(), O_RDWR | O_CLOEXEC);
    if (fd < 0) continue;
    for (auto undo = undos.rbegin(); undo != undos.rend(); ++undo) {
      const auto size = static_cast<ssize_t>(undo->bytes.size());
      CHECK(pwrite(fd, undo->bytes.data(), undo->bytes.size(), undo->offset) == size);
      CHECK(ftruncate(fd, undo->file_size) == 0);
    }
    close(fd);
  }
  unsynced_.clear();
}

}  // namespace quantized::testing
