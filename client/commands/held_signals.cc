#include "client/commands/held_signals.h"

#include <sys/signalfd.h>
#include <unistd.h>

#include "core/base/check.h"

namespace quantized {

HeldSignals::HeldSignals() {
  sigemptyset(&set_);
  for (const int signal : kHeldSignals) {
    struct sigaction action {};
    sigaction(signal, nullptr, &action);
    // Linux queues a blocked signal even where it is ignored.
    if (action.sa_handler != SIG_IGN) sigaddset(&set_, signal);
  }
  CHECK(pthread_sigmask(SIG_BLOCK, &set_, &before_) == 0);
  fd_ = signalfd(-1, &set_, SFD_CLOEXEC | SFD_NONBLOCK);
  CHECK(fd_ >= 0);
}

void HeldSignals::Release() {
  if (fd_ < 0) return;
  close(fd_);
  fd_ = -1;
  pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

std::optional<int> HeldSignals::Take() const {
  signalfd_siginfo info;
  if (read(fd_, &info, sizeof(info)) != sizeof(info)) return std::nullopt;
  return static_cast<int>(info.ssi_signo);
}

}  // namespace quantized
