// The library behind fault_shim.h. Knows nothing of the programs it is loaded into; where
// FAULT_SHIM is not set, or names another program, every call goes straight through.
#include <dlfcn.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>
#include <string_view>

namespace {

struct Rule {
  bool active = false;
  std::string call, path, mark;
  int n = 1;
  bool and_later = false;
  bool kill = false, kill_after = false, stop = false, no_memory = false;
  int error = 0;
};

struct ErrnoName {
  std::string_view name;
  int number;
};
constexpr ErrnoName kErrnos[] = {
    {"ENOSPC", ENOSPC}, {"EIO", EIO}, {"EACCES", EACCES}, {"EDQUOT", EDQUOT}};

std::string ReadLink(const std::string& link) {
  std::array<char, PATH_MAX> target;
  const ssize_t size = readlink(link.c_str(), target.data(), target.size());
  return size < 0 ? "" : std::string(target.data(), static_cast<size_t>(size));
}

[[noreturn]] void Refuse(std::string_view part) {
  fprintf(stderr, "FAULT_SHIM: cannot read '%.*s'\n", static_cast<int>(part.size()), part.data());
  abort();
}

void SetAction(Rule& rule, std::string_view action) {
  rule.kill = action == "kill";
  rule.kill_after = action == "kill-after";
  rule.stop = action == "stop";
  rule.no_memory = action == "no-memory";
  for (const ErrnoName& row : kErrnos) {
    if (row.name == action) rule.error = row.number;
  }
  const bool known = rule.kill || rule.kill_after || rule.stop || rule.no_memory || rule.error != 0;
  if (!known) Refuse(action);
}

Rule ParseRule(std::string_view text) {
  Rule rule;
  const std::string exe = ReadLink("/proc/self/exe");
  while (!text.empty()) {
    const std::string_view part = text.substr(0, text.find(';'));
    text.remove_prefix(std::min(text.size(), part.size() + 1));
    const size_t equals = part.find('=');
    if (equals == std::string_view::npos) Refuse(part);
    const std::string_view key = part.substr(0, equals);
    const std::string value(part.substr(equals + 1));
    if (key == "exe") {
      rule.active = exe.substr(exe.rfind('/') + 1) == value;
    } else if (key == "call") {
      rule.call = value;
    } else if (key == "path") {
      rule.path = value;
    } else if (key == "n") {
      rule.n = atoi(value.c_str());
      rule.and_later = value.ends_with('+');
    } else if (key == "do") {
      SetAction(rule, value);
    } else if (key == "mark") {
      rule.mark = value;
    } else {
      Refuse(part);
    }
  }
  return rule;
}

// Read at the first call, which may come before any constructor of this library.
const Rule& TheRule() {
  static const Rule* const rule = [] {
    const char* text = getenv("FAULT_SHIM");
    return new Rule(text == nullptr ? Rule() : ParseRule(text));
  }();
  return *rule;
}

template <typename Function>
Function* Next(const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

// False when another process was struck already.
bool LeaveMark(const Rule& rule) {
  if (rule.mark.empty()) return true;
  static const auto next = Next<int(const char*, int, ...)>("open");
  const int fd = next(rule.mark.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
  if (fd < 0) return false;
  close(fd);
  return true;
}

// From this size on C++ allocations fail once memory is gone: what tells of it still fits.
constexpr size_t kLargeBytes = 64 * 1024;
std::atomic<bool> memory_is_gone{false};

// What happens to one call: made before it, destroyed after it.
class Fault {
 public:
  Fault(std::string_view call, const char* path, const char* other_path = nullptr) {
    const Rule& rule = TheRule();
    if (!rule.active || rule.call != call) return;
    if (!Matches(rule, path) && !Matches(rule, other_path)) return;
    Strike(rule);
  }
  Fault(std::string_view call, int fd) {
    const Rule& rule = TheRule();
    if (!rule.active || rule.call != call) return;
    const int keep = errno;
    if (Matches(rule, ReadLink("/proc/self/fd/" + std::to_string(fd)).c_str())) Strike(rule);
    errno = keep;
  }
  ~Fault() {
    if (kill_after_) raise(SIGKILL);
  }
  Fault(const Fault&) = delete;
  Fault& operator=(const Fault&) = delete;

  // The errno to fail with, or 0.
  int error() const { return error_; }
  // Sets errno; to be returned by the call.
  int Fail() const {
    errno = error_;
    return -1;
  }

 private:
  static bool Matches(const Rule& rule, const char* path) {
    return path != nullptr && fnmatch(rule.path.c_str(), path, 0) == 0;
  }

  void Strike(const Rule& rule) {
    static std::atomic<int> calls{0};
    const int call = ++calls;
    if (call < rule.n || (call > rule.n && !rule.and_later) || !LeaveMark(rule)) return;
    if (rule.kill) raise(SIGKILL);
    if (rule.stop) raise(SIGSTOP);
    if (rule.no_memory) memory_is_gone = true;
    error_ = rule.error;
    kill_after_ = rule.kill_after;
  }

  int error_ = 0;
  bool kill_after_ = false;
};

mode_t ModeOf(int flags, va_list arguments) {
  return flags & (O_CREAT | O_TMPFILE) ? va_arg(arguments, mode_t) : 0;
}

}  // namespace

void* operator new(size_t size) {
  static const auto next = Next<void*(size_t)>("_Znwm");
  if (memory_is_gone && size >= kLargeBytes) throw std::bad_alloc();
  return next(size);
}

extern "C" {

int open(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = ModeOf(flags, arguments);
  va_end(arguments);
  const Fault fault("open", path);
  static const auto next = Next<int(const char*, int, ...)>("open");
  return fault.error() != 0 ? fault.Fail() : next(path, flags, mode);
}

int open64(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = ModeOf(flags, arguments);
  va_end(arguments);
  const Fault fault("open", path);
  static const auto next = Next<int(const char*, int, ...)>("open64");
  return fault.error() != 0 ? fault.Fail() : next(path, flags, mode);
}

int openat(int folder, const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = ModeOf(flags, arguments);
  va_end(arguments);
  const Fault fault("open", path);
  static const auto next = Next<int(int, const char*, int, ...)>("openat");
  return fault.error() != 0 ? fault.Fail() : next(folder, path, flags, mode);
}

ssize_t read(int fd, void* data, size_t size) {
  const Fault fault("read", fd);
  static const auto next = Next<ssize_t(int, void*, size_t)>("read");
  return fault.error() != 0 ? fault.Fail() : next(fd, data, size);
}

ssize_t pread(int fd, void* data, size_t size, off_t offset) {
  const Fault fault("read", fd);
  static const auto next = Next<ssize_t(int, void*, size_t, off_t)>("pread");
  return fault.error() != 0 ? fault.Fail() : next(fd, data, size, offset);
}

ssize_t pread64(int fd, void* data, size_t size, off64_t offset) {
  const Fault fault("read", fd);
  static const auto next = Next<ssize_t(int, void*, size_t, off64_t)>("pread64");
  return fault.error() != 0 ? fault.Fail() : next(fd, data, size, offset);
}

ssize_t write(int fd, const void* data, size_t size) {
  const Fault fault("write", fd);
  static const auto next = Next<ssize_t(int, const void*, size_t)>("write");
  return fault.error() != 0 ? fault.Fail() : next(fd, data, size);
}

ssize_t pwrite(int fd, const void* data, size_t size, off_t offset) {
  const Fault fault("write", fd);
  static const auto next = Next<ssize_t(int, const void*, size_t, off_t)>("pwrite");
  return fault.error() != 0 ? fault.Fail() : next(fd, data, size, offset);
}

ssize_t pwrite64(int fd, const void* data, size_t size, off64_t offset) {
  const Fault fault("write", fd);
  static const auto next = Next<ssize_t(int, const void*, size_t, off64_t)>("pwrite64");
  return fault.error() != 0 ? fault.Fail() : next(fd, data, size, offset);
}

int fsync(int fd) {
  const Fault fault("sync", fd);
  static const auto next = Next<int(int)>("fsync");
  return fault.error() != 0 ? fault.Fail() : next(fd);
}

int fdatasync(int fd) {
  const Fault fault("sync", fd);
  static const auto next = Next<int(int)>("fdatasync");
  return fault.error() != 0 ? fault.Fail() : next(fd);
}

int rename(const char* from, const char* to) noexcept {
  const Fault fault("rename", from, to);
  static const auto next = Next<int(const char*, const char*)>("rename");
  return fault.error() != 0 ? fault.Fail() : next(from, to);
}

int renameat2(int from_folder, const char* from, int to_folder, const char* to,
              unsigned flags) noexcept {
  const Fault fault("rename", from, to);
  static const auto next = Next<int(int, const char*, int, const char*, unsigned)>("renameat2");
  return fault.error() != 0 ? fault.Fail() : next(from_folder, from, to_folder, to, flags);
}

int ftruncate(int fd, off_t size) noexcept {
  const Fault fault("truncate", fd);
  static const auto next = Next<int(int, off_t)>("ftruncate");
  return fault.error() != 0 ? fault.Fail() : next(fd, size);
}

int ftruncate64(int fd, off64_t size) noexcept {
  const Fault fault("truncate", fd);
  static const auto next = Next<int(int, off64_t)>("ftruncate64");
  return fault.error() != 0 ? fault.Fail() : next(fd, size);
}

int fallocate(int fd, int mode, off_t offset, off_t size) {
  const Fault fault("allocate", fd);
  static const auto next = Next<int(int, int, off_t, off_t)>("fallocate");
  return fault.error() != 0 ? fault.Fail() : next(fd, mode, offset, size);
}

// Returns the error instead of setting errno.
int posix_fallocate(int fd, off_t offset, off_t size) {
  const Fault fault("allocate", fd);
  static const auto next = Next<int(int, off_t, off_t)>("posix_fallocate");
  return fault.error() != 0 ? fault.error() : next(fd, offset, size);
}

int unlink(const char* path) noexcept {
  const Fault fault("unlink", path);
  static const auto next = Next<int(const char*)>("unlink");
  return fault.error() != 0 ? fault.Fail() : next(path);
}

int remove(const char* path) noexcept {
  const Fault fault("unlink", path);
  static const auto next = Next<int(const char*)>("remove");
  return fault.error() != 0 ? fault.Fail() : next(path);
}

int unlinkat(int folder, const char* path, int flags) noexcept {
  const Fault fault("unlink", path);
  static const auto next = Next<int(int, const char*, int)>("unlinkat");
  return fault.error() != 0 ? fault.Fail() : next(folder, path, flags);
}

}  // extern "C"
