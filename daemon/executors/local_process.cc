#include "daemon/executors/local_process.h"

#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <future>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/mutex.h"
#include "core/base/status_macros.h"
#include "core/base/version.h"
#include "daemon/executors/log_capture.h"
#include "daemon/executors/spawn.h"
#include "daemon/worker/error_detail.h"
#include "daemon/worker/frames.h"

namespace quantized {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kReadBytes = 64 << 10;
// What can still lie in the pipe and the socket of a dead worker, with room to spare; a process
// that left its group and goes on printing must not keep us.
constexpr int kMaxReadsAfterEnd = 64;

class LocalAttempt final : public Attempt {
 public:
  LocalAttempt(const LocalExecutorOptions& options, const v1::StartAttempt& start, LogCapture log,
               UniqueFd wake, AttemptObserver& observer)
      : options_(options), log_(std::move(log)), observer_(observer), wake_(std::move(wake)) {
    *start_.mutable_start() = start;
  }

  ~LocalAttempt() override {
    CHECK(thread_.get_id() != std::this_thread::get_id());
    Ask([](Requests& requests) { requests.abandon = true; });
    if (thread_.joinable()) thread_.join();
  }

  // Called once. The thread that starts the process is the one that watches it: the process dies
  // with it (spawn.h).
  absl::Status Launch() {
    std::promise<absl::Status> launched;
    std::future<absl::Status> result = launched.get_future();
    try {
      thread_ = std::thread([this, &launched] { Run(launched); });
    } catch (const std::system_error& error) {  // the standard library has no other way to say it
      return MakeError(Error::kInternal, absl::StrCat("cannot start a thread: ", error.what()));
    }
    return result.get();
  }

  void Stop(std::chrono::milliseconds grace) override {
    Ask([&](Requests& requests) {
      requests.stop = true;
      requests.kill_at = std::min(requests.kill_at, Clock::now() + grace);
    });
  }

 private:
  // What other threads want of this attempt's.
  struct Requests {
    bool stop = false;
    bool abandon = false;
    Clock::time_point kill_at = Clock::time_point::max();
  };
  enum class Stage { kGreeting, kWorking, kSpoken };  // spoken: its last word, or an unreadable one

  template <typename Change>
  void Ask(Change change) {
    {
      MutexLock lock(mutex_);
      change(requests_);
    }
    const uint64_t one = 1;
    CHECK(write(wake_.get(), &one, sizeof(one)) == sizeof(one) || errno == EAGAIN);
  }

  void Run(std::promise<absl::Status>& launched) {
    const bool fetches = start_.start().spec().quantize().has_hub();
    const absl::Status status = Begin(fetches ? options_.fetcher_binary : options_.worker_binary);
    launched.set_value(status);
    if (!status.ok()) return;
    Serve();
    if (fetches && TakeFetchedModel()) {
      if (const absl::Status begun = Begin(options_.worker_binary); begun.ok()) {
        Serve();
      } else {
        Fail(begun);
      }
    }
    log_.Finish();
    end_.log_tail = log_.Tail();
    if (!abandoned_) observer_.OnEnd(std::move(end_));
  }

  // Starts a program, which will be given start_.
  absl::Status Begin(const std::filesystem::path& program) {
    ASSIGN_OR_RETURN(start_frame_, EncodeFrame(start_));
    ASSIGN_OR_RETURN(process_, SpawnWorker(program));
    program_ = program;
    stage_ = Stage::kGreeting;
    reader_ = FrameReader();
    outbox_.clear();
    heard_at_ = Clock::now();
    kill_at_ = Clock::time_point::max();
    killed_ = false;
    end_.signal = 0;
    return absl::OkStatus();
  }

  // Returns when the program has ended.
  void Serve() {
    while (!WaitAndServe()) continue;
    Reap();
  }

  // After the fetcher's end. True when the worker is to go on with what it fetched.
  bool TakeFetchedModel() {
    const std::unique_ptr<v1::JobResult> fetched = std::move(end_.result);
    if (fetched == nullptr || abandoned_ || end_.stopped_by_us) return false;
    v1::StartAttempt& start = *start_.mutable_start();
    start.clear_hub_token();
    start.mutable_spec()->mutable_quantize()->set_model_path(fetched->fetch().model_path());
    return true;
  }

  // One turn of the loop. True when the process has ended.
  bool WaitAndServe() {
    const short wanted = POLLIN | (outbox_.empty() ? 0 : POLLOUT);
    std::array<pollfd, 4> polled = {
        pollfd{process_.pidfd.get(), POLLIN, 0}, pollfd{wake_.get(), POLLIN, 0},
        pollfd{process_.socket.get(), wanted, 0}, pollfd{process_.log.get(), POLLIN, 0}};
    if (poll(polled.data(), polled.size(), MillisecondsToDeadline()) < 0) CHECK(errno == EINTR);
    if (polled[0].revents != 0) return true;
    if (polled[1].revents != 0) TakeRequests();
    if (polled[2].revents & (POLLIN | POLLHUP | POLLERR)) ReadFrames();
    if (polled[2].revents & POLLOUT) Flush();
    if (polled[3].revents != 0) ReadLog();
    KeepDeadlines();
    return false;
  }

  void TakeRequests() {
    uint64_t count = 0;
    CHECK(read(wake_.get(), &count, sizeof(count)) == sizeof(count) || errno == EAGAIN);
    Requests requests;
    {
      MutexLock lock(mutex_);
      requests = requests_;
    }
    abandoned_ = requests.abandon;
    if (abandoned_) Kill();
    kill_at_ = std::min(kill_at_, requests.kill_at);
    if (requests.stop && !end_.stopped_by_us) {
      end_.stopped_by_us = true;
      v1::DaemonFrame stop;
      stop.mutable_stop();
      outbox_ += EncodeFrame(stop).value();
      Flush();
      kill(process_.pid, SIGTERM);
    }
  }

  // True when there may be more.
  bool ReadFrames() {
    std::array<char, kReadBytes> bytes;
    const ssize_t size = recv(process_.socket.get(), bytes.data(), bytes.size(), 0);
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) return false;
    if (size <= 0) {
      process_.socket.Close();
      outbox_.clear();
      ExpectEnd();
      return false;
    }
    if (stage_ == Stage::kSpoken) return true;  // drained, not heard
    reader_.Append({bytes.data(), static_cast<size_t>(size)});
    while (stage_ != Stage::kSpoken) {
      absl::StatusOr<std::optional<v1::WorkerFrame>> frame = reader_.Next<v1::WorkerFrame>();
      if (!frame.ok()) {
        Violated(frame.status().message());
      } else if (frame->has_value()) {
        heard_at_ = Clock::now();
        Hear(**frame);
      } else {
        break;
      }
    }
    return true;
  }

  void Hear(v1::WorkerFrame& frame) {
    if (frame.has_hello() != (stage_ == Stage::kGreeting)) {
      return Violated("Hello must come first and once");
    }
    switch (frame.kind_case()) {
      case v1::WorkerFrame::kHello:
        return Greet(frame.hello());
      case v1::WorkerFrame::kHeartbeat:
        end_.peak_memory_bytes =
            std::max<uint64_t>(end_.peak_memory_bytes, frame.heartbeat().peak_memory_bytes());
        return;
      case v1::WorkerFrame::kResult:
        end_.result = std::make_unique<v1::JobResult>(std::move(*frame.mutable_result()));
        return ExpectEnd();
      case v1::WorkerFrame::kError:
        end_.error = std::make_unique<v1::AttemptError>(std::move(*frame.mutable_error()));
        return ExpectEnd();
      default:
        if (!abandoned_) observer_.OnFrame(frame);
    }
  }

  void Greet(const v1::Hello& hello) {
    if (hello.api_version() != kApiVersion) {
      return Refuse(MakeError(
          Error::kVersionSkew,
          absl::StrCat("worker ", program_.string(), " is version ", hello.version(), " (protocol ",
                       hello.api_version(), "), the daemon is version ", std::string(kVersion),
                       " (protocol ", kApiVersion, ")"),
          "Stop the daemon with 'llm-quantize server stop'; the next command starts the new one"));
    }
    stage_ = Stage::kWorking;
    if (end_.stopped_by_us) return;  // the Stop frame is on its way
    outbox_ += start_frame_;
    Flush();
    if (!abandoned_) observer_.OnRunning(process_.pid, process_.start_ticks);
  }

  void Violated(absl::string_view what) {
    Refuse(MakeError(Error::kWorkerCrashed, absl::StrCat("worker broke the protocol: ", what)));
  }

  // What the worker says from now on does not count.
  void Refuse(const absl::Status& why) {
    Fail(why);
    stage_ = Stage::kSpoken;
    Kill();
  }

  void Fail(const absl::Status& why) {
    end_.error = std::make_unique<v1::AttemptError>();
    *end_.error->mutable_error() = ErrorDetailOf(why);
  }

  void ExpectEnd() {
    stage_ = Stage::kSpoken;
    kill_at_ = std::min(kill_at_, Clock::now() + options_.exit_grace);
  }

  void Flush() {
    const ssize_t sent =
        send(process_.socket.get(), outbox_.data(), outbox_.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent > 0) outbox_.erase(0, static_cast<size_t>(sent));
    // A closed socket shows when it is read.
    if (sent < 0 && errno != EAGAIN && errno != EINTR) outbox_.clear();
  }

  // True when there may be more.
  bool ReadLog() {
    std::array<char, kReadBytes> bytes;
    const ssize_t size = read(process_.log.get(), bytes.data(), bytes.size());
    if (size > 0) log_.Append({bytes.data(), static_cast<size_t>(size)});
    if (size == 0) process_.log.Close();
    return size > 0;
  }

  Clock::time_point SilenceDeadline() const {
    return stage_ == Stage::kSpoken ? Clock::time_point::max()
                                    : heard_at_ + options_.heartbeat_timeout;
  }

  int MillisecondsToDeadline() const {
    const Clock::time_point next = std::min(SilenceDeadline(), kill_at_);
    if (killed_ || next == Clock::time_point::max()) return -1;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(next - Clock::now()).count();
    return static_cast<int>(std::clamp<int64_t>(left, 0, 1'000'000));
  }

  void KeepDeadlines() {
    if (killed_) return;
    const Clock::time_point now = Clock::now();
    if (now >= SilenceDeadline()) {
      end_.unresponsive = true;
      stage_ = Stage::kSpoken;
      Kill();
    } else if (now >= kill_at_) {
      Kill();
    }
  }

  void Kill() {
    killed_ = true;
    kill(-process_.pid, SIGKILL);
  }

  // The process is a zombie: until it is reaped its group's number belongs to it, so what it left
  // behind is killed first.
  void Reap() {
    kill(-process_.pid, SIGKILL);
    if (process_.socket.get() >= 0) {
      for (int i = 0; i < kMaxReadsAfterEnd && ReadFrames(); ++i) continue;
    }
    for (int i = 0; i < kMaxReadsAfterEnd && ReadLog(); ++i) continue;

    int status = 0;
    rusage usage = {};
    CHECK(wait4(process_.pid, &status, 0, &usage) == process_.pid);
    if (WIFSIGNALED(status)) {
      end_.signal = WTERMSIG(status);
    } else {
      end_.exit_code = WEXITSTATUS(status);
    }
    // ru_maxrss starts at the daemon's own (the kernel counts the memory that exec left behind), so
    // it only stands in for the last heartbeat that a crashed worker could not send.
    if (end_.result == nullptr && end_.error == nullptr) {
      end_.peak_memory_bytes =
          std::max<uint64_t>(end_.peak_memory_bytes, static_cast<uint64_t>(usage.ru_maxrss) * 1024);
    }
  }

  const LocalExecutorOptions options_;
  LogCapture log_;
  AttemptObserver& observer_;
  const UniqueFd wake_;
  std::thread thread_;

  Mutex mutex_;
  Requests requests_ ABSL_GUARDED_BY(mutex_);

  // Below: only thread_.
  v1::DaemonFrame start_;
  std::string start_frame_;
  std::filesystem::path program_;
  WorkerProcess process_;
  Stage stage_ = Stage::kGreeting;
  FrameReader reader_;
  std::string outbox_;
  Clock::time_point heard_at_;
  Clock::time_point kill_at_ = Clock::time_point::max();
  bool killed_ = false;
  bool abandoned_ = false;
  AttemptEnd end_;
};

class LocalExecutor final : public Executor {
 public:
  explicit LocalExecutor(LocalExecutorOptions options) : options_(std::move(options)) {}

  absl::StatusOr<std::unique_ptr<Attempt>> Start(const v1::StartAttempt& start,
                                                 const std::string& log_path,
                                                 AttemptObserver& observer) override {
    ASSIGN_OR_RETURN(LogCapture log, LogCapture::Create(log_path, options_.max_log_bytes));
    UniqueFd wake(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (wake.get() < 0) {
      return MakeError(Error::kInternal, absl::StrCat("eventfd: ", std::strerror(errno)));
    }
    auto attempt =
        std::make_unique<LocalAttempt>(options_, start, std::move(log), std::move(wake), observer);
    RETURN_IF_ERROR(attempt->Launch());
    return attempt;
  }

 private:
  const LocalExecutorOptions options_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Executor>> CreateLocalExecutor(LocalExecutorOptions options) {
  if (access(options.worker_binary.c_str(), X_OK) != 0 ||
      !std::filesystem::is_regular_file(options.worker_binary)) {
    return MakeError(Error::kInternal,
                     absl::StrCat("worker program ", options.worker_binary.string(),
                                  " is not an executable file"));
  }
  return std::make_unique<LocalExecutor>(std::move(options));
}

}  // namespace quantized
