// One watcher of one job: the events that it has not taken yet. The queue's thread puts events in,
// the watcher takes them one by one at its own pace, and neither ever waits for the other: what a
// slow watcher does not take is not kept in memory but read from the store again (lagging).
//
// Order: durable events after the given sequence, one Snapshot, then what happens, and Finished
// last. Progress is conflated to the newest and comes after durable events.
//
// Thread-safe. Shared by the watcher and the queue, whichever lets go last: hence shared_ptr.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "core/base/mutex.h"
#include "quantized/v1/job.pb.h"

namespace quantized {

// Events are shared by all who watch a job; nobody changes them.
using SharedEvent = std::shared_ptr<const v1::JobEvent>;

class JobWatch {
 public:
  // At most this many durable events wait in memory for one watcher.
  static constexpr size_t kMaxWaiting = 256;

  // Null: the stream is over, Finished was the event before.
  using Reply = std::function<void(absl::StatusOr<SharedEvent>)>;

  // `ask_refill` is called, from any thread but never with a lock held, when events must be read
  // from the store: the queue then calls Refill or Close.
  JobWatch(std::string job_id, int64_t after_sequence, std::function<void()> ask_refill)
      : job_id_(std::move(job_id)),
        ask_refill_(std::move(ask_refill)),
        sequence_(after_sequence),
        last_reply_(std::chrono::steady_clock::now()) {}

  // Calls `reply` once, now or later, from this thread or the queue's, with the next event. One at
  // a time. Errors: kJobNotFound, kDaemonUnavailable when the daemon stops, kCancelled after Close.
  void Next(Reply reply);

  // Ends the stream; a waiting reply gets `why`. Later calls change nothing.
  void Close(absl::Status why);

  // --- For the queue's thread.
  const std::string& job_id() const { return job_id_; }
  // The newest durable event that this watcher has or had.
  int64_t sequence() const;
  bool closed() const;
  // Moves the start: of a job that ended, the last event is told again.
  void StartAfter(int64_t sequence);
  // Durable events read from the store, the next in order. `snapshot` is given when they are all
  // there are: the watcher then gets new events through Push.
  void Refill(std::vector<v1::JobEvent> events, SharedEvent snapshot);
  // A durable event that was just committed. Dropped while lagging: the store has it.
  void Push(const SharedEvent& event);
  void PushProgress(const SharedEvent& event);
  // Tells a watcher that waited at least `silence` for anything that the stream is alive.
  void KeepAlive(std::chrono::steady_clock::time_point now, std::chrono::milliseconds silence);

 private:
  // Gives the waiting reply what there is, or asks for a refill.
  void Serve();
  bool TakeReady(absl::StatusOr<SharedEvent>& taken) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::string job_id_;
  const std::function<void()> ask_refill_;

  mutable Mutex mutex_;
  std::deque<SharedEvent> ready_ ABSL_GUARDED_BY(mutex_);
  SharedEvent progress_ ABSL_GUARDED_BY(mutex_);
  int64_t sequence_ ABSL_GUARDED_BY(mutex_);
  bool lagging_ ABSL_GUARDED_BY(mutex_) = true;
  bool refill_asked_ ABSL_GUARDED_BY(mutex_) = false;
  bool snapshot_told_ ABSL_GUARDED_BY(mutex_) = false;
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;  // Finished was taken
  absl::Status closed_ ABSL_GUARDED_BY(mutex_);    // not OK: closed, and why
  Reply waiting_ ABSL_GUARDED_BY(mutex_);
  std::chrono::steady_clock::time_point last_reply_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace quantized
