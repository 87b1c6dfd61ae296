#include "daemon/queue/job_state.h"

#include <algorithm>
#include <array>

namespace quantized {
namespace {

using J = v1::Job;

constexpr std::array kTransitions = {
    Transition{J::STATE_UNSPECIFIED, J::PENDING, MovedBy::kSubmit},

    Transition{J::PENDING, J::STARTING, MovedBy::kScheduler},
    Transition{J::PENDING, J::FAILED, MovedBy::kScheduler},  // interrupted too often
    Transition{J::PENDING, J::CANCELLED, MovedBy::kCancel},

    Transition{J::STARTING, J::RUNNING, MovedBy::kWorker},
    Transition{J::STARTING, J::PENDING, MovedBy::kSupervisor},  // once more, or the daemon stops
    Transition{J::STARTING, J::FAILED, MovedBy::kSupervisor},
    Transition{J::STARTING, J::CANCELLED, MovedBy::kSupervisor},
    Transition{J::STARTING, J::CANCELLING, MovedBy::kCancel},
    Transition{J::STARTING, J::PENDING, MovedBy::kRecovery},
    Transition{J::STARTING, J::PENDING, MovedBy::kShutdown},

    Transition{J::RUNNING, J::SUCCEEDED, MovedBy::kSupervisor},
    Transition{J::RUNNING, J::FAILED, MovedBy::kSupervisor},
    Transition{J::RUNNING, J::CANCELLED, MovedBy::kSupervisor},  // somebody else stopped the worker
    Transition{J::RUNNING, J::PENDING, MovedBy::kSupervisor},
    Transition{J::RUNNING, J::CANCELLING, MovedBy::kCancel},
    Transition{J::RUNNING, J::PENDING, MovedBy::kRecovery},
    Transition{J::RUNNING, J::PENDING, MovedBy::kShutdown},

    Transition{J::CANCELLING, J::CANCELLED, MovedBy::kSupervisor},
    Transition{J::CANCELLING, J::SUCCEEDED, MovedBy::kSupervisor},  // it was done before the stop
    Transition{J::CANCELLING, J::CANCELLED, MovedBy::kRecovery},
    Transition{J::CANCELLING, J::CANCELLED, MovedBy::kShutdown},
};

}  // namespace

std::span<const Transition> AllTransitions() { return kTransitions; }

bool IsAllowed(v1::Job::State from, v1::Job::State to, MovedBy by) {
  return std::ranges::any_of(kTransitions, [&](const Transition& row) {
    return row.from == from && row.to == to && row.by == by;
  });
}

bool IsEnded(v1::Job::State state) {
  return state == J::SUCCEEDED || state == J::FAILED || state == J::CANCELLED;
}

bool IsActive(v1::Job::State state) {
  return state == J::STARTING || state == J::RUNNING || state == J::CANCELLING;
}

}  // namespace quantized
