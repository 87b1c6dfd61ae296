#include "daemon/worker/watch.h"

#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>

#include "core/base/check.h"
#include "core/base/machine.h"

namespace quantized {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kHeartbeatInterval{1000};

int TerminationSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  return signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
}

}  // namespace

v1::WorkerFrame HeartbeatFrame() {
  v1::WorkerFrame frame;
  frame.mutable_heartbeat()->set_peak_memory_bytes(PeakResidentBytes());
  return frame;
}

Watch::Watch(DaemonChannel& channel, ProgressReporter& reporter)
    : channel_(channel),
      reporter_(reporter),
      signals_(TerminationSignals()),
      finished_(eventfd(0, EFD_CLOEXEC)) {
  CHECK(signals_ >= 0 && finished_ >= 0);
  thread_ = std::thread([this] { Run(); });
}

Watch::~Watch() {
  CHECK(eventfd_write(finished_, 1) == 0);
  thread_.join();
  close(signals_);
  close(finished_);
}

void Watch::Run() {
  Clock::time_point next_heartbeat = Clock::now();
  for (;;) {
    if (const Clock::time_point now = Clock::now(); now >= next_heartbeat) {
      reporter_.Flush();
      CHECK(channel_.Send(HeartbeatFrame()).ok());
      next_heartbeat = now + kHeartbeatInterval;
    }
    const auto wait =
        std::chrono::ceil<std::chrono::milliseconds>(next_heartbeat - Clock::now()).count();
    std::array<pollfd, 3> polled = {pollfd{channel_.socket(), POLLIN, 0},
                                    pollfd{signals_, POLLIN, 0}, pollfd{finished_, POLLIN, 0}};
    if (poll(polled.data(), polled.size(), wait < 0 ? 0 : static_cast<int>(wait)) < 0) {
      CHECK(errno == EINTR);
      continue;
    }
    if (polled[2].revents != 0) return;
    if (polled[1].revents != 0) {
      signalfd_siginfo info;
      CHECK(read(signals_, &info, sizeof(info)) == sizeof(info) || errno == EAGAIN);
      stop_.request_stop();
    }
    if (polled[0].revents != 0) {
      while (const std::optional<v1::DaemonFrame> frame = channel_.TryReceive()) {
        if (!frame->has_stop()) continue;
        stopped_by_daemon_ = true;
        stop_.request_stop();
      }
    }
  }
}

}  // namespace quantized
