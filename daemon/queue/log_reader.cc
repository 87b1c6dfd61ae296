#include "daemon/queue/log_reader.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <utility>

#include "core/base/error.h"

namespace quantized {
namespace {

// How often a log that is followed is looked at.
constexpr std::chrono::milliseconds kFollowTick{100};

}  // namespace

LogReader::LogReader() : thread_([this] { Run(); }) {}

LogReader::~LogReader() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    changed_.NotifyAll();
  }
  thread_.join();
}

void LogReader::Read(const JobQueue::AttemptLog& log, uint64_t offset, bool follow,
                     GivenUp given_up, Reply reply) {
  MutexLock lock(mutex_);
  arrived_.push_back({.log = log,
                      .offset = offset,
                      .follow = follow,
                      .given_up = std::move(given_up),
                      .reply = std::move(reply)});
  changed_.NotifyAll();
}

std::optional<absl::StatusOr<LogReader::Chunk>> LogReader::TryRead(const Request& request) {
  if (request.given_up()) return MakeError(Error::kCancelled, "the call was given up");
  // Before the file: what is written after this is seen by the next look.
  const bool ended = *request.log.ended;
  const int fd = open(request.log.path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0 && errno != ENOENT) return ErrnoError(errno, "read", request.log.path.string());
  Chunk chunk{.offset = request.offset, .data = std::string(kMaxChunkBytes, '\0')};
  ssize_t size = 0;
  if (fd >= 0) {
    size = pread(fd, chunk.data.data(), chunk.data.size(), static_cast<off_t>(request.offset));
    const int error = errno;
    close(fd);
    if (size < 0) return ErrnoError(error, "read", request.log.path.string());
  }
  chunk.data.resize(static_cast<size_t>(size));
  if (size == 0 && request.follow && !ended) return std::nullopt;
  return chunk;
}

void LogReader::Run() {
  std::list<Request> open;
  while (true) {
    {
      MutexLock lock(mutex_);
      while (!stopping_ && arrived_.empty() && open.empty()) changed_.Wait(mutex_);
      if (!stopping_ && arrived_.empty()) {
        changed_.WaitUntil(mutex_, std::chrono::steady_clock::now() + kFollowTick);
      }
      if (stopping_) break;
      open.splice(open.end(), arrived_);
    }
    for (auto request = open.begin(); request != open.end();) {
      std::optional<absl::StatusOr<Chunk>> answer = TryRead(*request);
      if (!answer) {
        ++request;
        continue;
      }
      const Reply reply = std::move(request->reply);
      request = open.erase(request);
      reply(*std::move(answer));
    }
  }
  {
    MutexLock lock(mutex_);
    open.splice(open.end(), arrived_);
  }
  for (const Request& request : open) {
    request.reply(MakeError(Error::kDaemonUnavailable, "the daemon is stopping"));
  }
}

}  // namespace quantized
