// Carries what an attempt says from the executor's threads to the queue's thread. Progress is
// conflated: one message is under way at a time and brings the newest. Other frames are bounded in
// number, so that a worker gone wild fills neither the mailbox nor the store.
#pragma once

#include <atomic>
#include <functional>
#include <memory>

#include "absl/base/thread_annotations.h"
#include "core/base/mutex.h"
#include "daemon/executors/executor.h"

namespace quantized {

// What the queue wants to hear; called on the queue's thread. Frames of an attempt that is not the
// job's current one any more are the receiver's to drop.
class AttemptListener {
 public:
  virtual ~AttemptListener() = default;
  virtual absl::Status OnRunning(const std::string& job_id, int attempt, int64_t pid,
                                 uint64_t pid_start_ticks) = 0;
  virtual absl::Status OnFrame(const std::string& job_id, int attempt,
                               const v1::WorkerFrame& frame) = 0;
  virtual absl::Status OnEnd(const std::string& job_id, int attempt, const AttemptEnd& end) = 0;
};

class AttemptLink : public AttemptObserver {
 public:
  // Durable frames of one attempt that are passed on; the rest is left out, the last one says so.
  static constexpr int kMaxDurableFrames = 20000;

  // Runs a call on the queue's thread, later, and again if the store failed.
  using Post = std::function<void(std::function<absl::Status()>)>;

  AttemptLink(std::string job_id, int attempt, AttemptListener& listener, Post post)
      : job_id_(std::move(job_id)),
        attempt_(attempt),
        listener_(listener),
        post_(std::move(post)) {}

  void OnFrame(const v1::WorkerFrame& frame) override;
  void OnRunning(int64_t pid, uint64_t pid_start_ticks) override;
  void OnEnd(AttemptEnd end) override;

 private:
  // The newest progress that the queue's thread has not seen. Shared with the call that is under
  // way, which may outlive this object.
  struct NewestProgress {
    Mutex mutex;
    v1::WorkerFrame frame ABSL_GUARDED_BY(mutex);
    bool posted ABSL_GUARDED_BY(mutex) = false;
  };

  void PostFrame(v1::WorkerFrame frame);

  const std::string job_id_;
  const int attempt_;
  AttemptListener& listener_;
  const Post post_;
  std::atomic<int> durable_frames_{0};
  const std::shared_ptr<NewestProgress> progress_ = std::make_shared<NewestProgress>();
};

}  // namespace quantized
