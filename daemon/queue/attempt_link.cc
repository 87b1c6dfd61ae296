#include "daemon/queue/attempt_link.h"

#include <utility>

namespace quantized {

void AttemptLink::OnFrame(const v1::WorkerFrame& frame) {
  if (!frame.has_progress()) {
    const int count = ++durable_frames_;
    if (count < kMaxDurableFrames) return PostFrame(frame);
    if (count > kMaxDurableFrames) return;
    v1::WorkerFrame last;
    last.mutable_warning()->set_line("the worker says too much, the rest is left out");
    return PostFrame(std::move(last));
  }
  {
    MutexLock lock(progress_->mutex);
    progress_->frame = frame;
    if (std::exchange(progress_->posted, true)) return;
  }
  post_([&listener = listener_, job_id = job_id_, attempt = attempt_, newest = progress_] {
    v1::WorkerFrame taken;
    {
      MutexLock lock(newest->mutex);
      taken = newest->frame;
      newest->posted = false;
    }
    return listener.OnFrame(job_id, attempt, taken);
  });
}

void AttemptLink::PostFrame(v1::WorkerFrame frame) {
  post_([&listener = listener_, job_id = job_id_, attempt = attempt_, frame = std::move(frame)] {
    return listener.OnFrame(job_id, attempt, frame);
  });
}

void AttemptLink::OnRunning(int64_t pid, uint64_t pid_start_ticks) {
  post_([&listener = listener_, job_id = job_id_, attempt = attempt_, pid, pid_start_ticks] {
    return listener.OnRunning(job_id, attempt, pid, pid_start_ticks);
  });
}

void AttemptLink::OnEnd(AttemptEnd end) {
  // Shared because a std::function must be copyable.
  auto shared = std::make_shared<const AttemptEnd>(std::move(end));
  post_([&listener = listener_, job_id = job_id_, attempt = attempt_, shared] {
    return listener.OnEnd(job_id, attempt, *shared);
  });
}

}  // namespace quantized
