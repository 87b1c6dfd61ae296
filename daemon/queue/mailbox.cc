#include "daemon/queue/mailbox.h"

#include <utility>

#include "core/base/error.h"

namespace quantized {
namespace {

absl::Status Stopping() {
  return MakeError(Error::kDaemonUnavailable, "the daemon is stopping", "try again");
}

}  // namespace

void Mailbox::Post(Command command) {
  absl::Status refusal;
  {
    MutexLock lock(mutex_);
    if (closed_) {
      refusal = Stopping();
    } else if (commands_.size() >= kMaxWaiting) {
      refusal = MakeError(Error::kDaemonUnavailable, "the daemon has too many requests waiting",
                          "try again in a moment");
    } else {
      commands_.push_back(std::move(command));
      arrived_.NotifyOne();
    }
  }
  if (!refusal.ok()) command.refuse(refusal);
}

void Mailbox::PostAlways(Command command) {
  MutexLock lock(mutex_);
  if (closed_) return;
  commands_.push_back(std::move(command));
  arrived_.NotifyOne();
}

std::vector<Command> Mailbox::Take(size_t limit, std::chrono::steady_clock::time_point deadline) {
  std::vector<Command> taken;
  MutexLock lock(mutex_);
  while (commands_.empty() && arrived_.WaitUntil(mutex_, deadline)) {
  }
  while (!commands_.empty() && taken.size() < limit) {
    taken.push_back(std::move(commands_.front()));
    commands_.pop_front();
  }
  return taken;
}

void Mailbox::Close() {
  std::deque<Command> left;
  {
    MutexLock lock(mutex_);
    closed_ = true;
    left.swap(commands_);
  }
  for (const Command& command : left) {
    if (command.refuse) command.refuse(Stopping());
  }
}

}  // namespace quantized
