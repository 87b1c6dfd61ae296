#include "daemon/queue/watch.h"

#include <utility>

#include "core/base/check.h"
#include "core/base/error.h"
#include "daemon/queue/clock.h"

namespace quantized {

void JobWatch::Next(Reply reply) {
  {
    MutexLock lock(mutex_);
    CHECK(!waiting_);
    waiting_ = std::move(reply);
  }
  Serve();
}

void JobWatch::Close(absl::Status why) {
  {
    MutexLock lock(mutex_);
    if (closed_.ok()) closed_ = std::move(why);
    ready_.clear();
    progress_.reset();
  }
  Serve();
}

int64_t JobWatch::sequence() const {
  MutexLock lock(mutex_);
  return sequence_;
}

bool JobWatch::closed() const {
  MutexLock lock(mutex_);
  return !closed_.ok();
}

void JobWatch::StartAfter(int64_t sequence) {
  MutexLock lock(mutex_);
  CHECK(ready_.empty());
  sequence_ = sequence;
}

void JobWatch::Refill(std::vector<v1::JobEvent> events, SharedEvent snapshot) {
  {
    MutexLock lock(mutex_);
    refill_asked_ = false;
    if (!closed_.ok()) return;
    bool finished = false;
    for (v1::JobEvent& event : events) {
      CHECK(event.sequence() == sequence_ + 1);
      sequence_ = event.sequence();
      finished = event.has_finished();
      ready_.push_back(std::make_shared<const v1::JobEvent>(std::move(event)));
    }
    if (snapshot) {
      lagging_ = false;
      if (!snapshot_told_ && !finished) ready_.push_back(std::move(snapshot));
      snapshot_told_ = true;
    }
  }
  Serve();
}

void JobWatch::Push(const SharedEvent& event) {
  {
    MutexLock lock(mutex_);
    if (lagging_ || !closed_.ok() || event->sequence() <= sequence_) return;
    // What was known of an attempt's progress is old when its job changes.
    if (event->has_state()) progress_.reset();
    if (ready_.size() >= kMaxWaiting || event->sequence() != sequence_ + 1) {
      lagging_ = true;
      return;
    }
    sequence_ = event->sequence();
    ready_.push_back(event);
  }
  Serve();
}

void JobWatch::PushProgress(const SharedEvent& event) {
  {
    MutexLock lock(mutex_);
    if (lagging_ || !closed_.ok()) return;
    progress_ = event;
  }
  Serve();
}

void JobWatch::KeepAlive(std::chrono::steady_clock::time_point now,
                         std::chrono::milliseconds silence) {
  {
    MutexLock lock(mutex_);
    if (!waiting_ || !closed_.ok() || lagging_ || now - last_reply_ < silence) return;
    auto event = std::make_shared<v1::JobEvent>();
    event->set_sequence(sequence_);
    event->set_ephemeral(true);
    *event->mutable_time() = TimestampOf(NowMicros());
    event->mutable_keep_alive();
    ready_.push_back(std::move(event));
  }
  Serve();
}

bool JobWatch::TakeReady(absl::StatusOr<SharedEvent>& taken) {
  if (!closed_.ok()) {
    // A copy of its own: absl counts the references to a shared one where ThreadSanitizer cannot
    // see.
    const absl::string_view message = closed_.message();
    taken = MakeError(ErrorOf(closed_), {message.data(), message.size()}, SuggestionOf(closed_));
    return true;
  }
  if (finished_) {
    taken = nullptr;
    return true;
  }
  if (!ready_.empty()) {
    finished_ = ready_.front()->has_finished();
    taken = std::move(ready_.front());
    ready_.pop_front();
    return true;
  }
  if (!lagging_ && progress_) {
    // Stamped when it is told: the numbers that a watcher sees never go back.
    auto event = std::make_shared<v1::JobEvent>(*progress_);
    event->set_sequence(sequence_);
    progress_.reset();
    taken = std::move(event);
    return true;
  }
  return false;
}

void JobWatch::Serve() {
  Reply reply;
  absl::StatusOr<SharedEvent> taken;
  bool ask = false;
  {
    MutexLock lock(mutex_);
    if (!waiting_) return;
    if (TakeReady(taken)) {
      reply = std::exchange(waiting_, nullptr);
      last_reply_ = std::chrono::steady_clock::now();
    } else if (lagging_ && !refill_asked_) {
      refill_asked_ = ask = true;
    }
  }
  if (reply) reply(std::move(taken));
  if (ask) ask_refill_();
}

}  // namespace quantized
