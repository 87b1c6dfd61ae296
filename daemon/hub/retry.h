// When a failed request is sent again: exponential backoff with jitter, or as long as the server
// asks for with Retry-After, or with RateLimit, as the Hub does.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <limits>
#include <random>
#include <stop_token>
#include <string_view>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "core/base/mutex.h"
#include "daemon/hub/http.h"

namespace quantized {

// Passes time. Thread-safe.
class Waiter {
 public:
  virtual ~Waiter() = default;
  // False, and at once, when `stop` is requested.
  virtual bool Wait(std::chrono::milliseconds time, const std::stop_token& stop) = 0;
  // The time that passes, waited for or not.
  virtual std::chrono::steady_clock::time_point Now() = 0;
  // Before a wait for another attempt: `why`, for a person.
  virtual void Announce(std::chrono::milliseconds, std::string_view /*why*/) {}
};

class RealWaiter : public Waiter {
 public:
  bool Wait(std::chrono::milliseconds time, const std::stop_token& stop) override;
  std::chrono::steady_clock::time_point Now() override { return std::chrono::steady_clock::now(); }
};

// Passes time as another waiter does, and tells a person of waits that are felt: of several
// connections' waits at the same time once. The other one must outlive *this.
class TellingWaiter : public Waiter {
 public:
  // Called from any thread, one at a time.
  using Tell = std::function<void(std::string_view)>;

  TellingWaiter(Waiter& waiter, Tell tell) : waiter_(waiter), tell_(std::move(tell)) {}
  bool Wait(std::chrono::milliseconds time, const std::stop_token& stop) override {
    return waiter_.Wait(time, stop);
  }
  std::chrono::steady_clock::time_point Now() override { return waiter_.Now(); }
  void Announce(std::chrono::milliseconds time, std::string_view why) override;

 private:
  Waiter& waiter_;
  const Tell tell_;
  Mutex mutex_;
  std::chrono::steady_clock::time_point told_until_ ABSL_GUARDED_BY(mutex_);
};

// For a question that a person waits for.
struct RetryRules {
  int attempts = 5;  // in a row without progress; the first counts
  // From the first failure in a row on.
  std::chrono::minutes patience{15};
  std::chrono::milliseconds first_wait{500};
  std::chrono::milliseconds longest_wait{30'000};
  // A server that asks for more patience than this has failed. The Hub counts requests in windows
  // of 300 seconds.
  std::chrono::seconds longest_retry_after{310};
};

// For a download, which nobody need attend: a network may be away for a while.
inline constexpr RetryRules kPatientRules = {.attempts = std::numeric_limits<int>::max()};

// The attempts at one thing. For one thread.
class Retries {
 public:
  Retries(const RetryRules& rules, Waiter& waiter) : rules_(rules), waiter_(waiter) {}

  // After an attempt that brought something.
  void Progressed() { failures_ = 0; }

  // After `failure` with `response`, which may ask for a longer wait: waits and returns OK, or
  // returns `failure` when there were attempts enough or patience ended; kCancelled when stopped.
  absl::Status WaitToRetry(const absl::Status& failure, const HttpResponse& response,
                           const std::stop_token& stop);

 private:
  const RetryRules rules_;
  Waiter& waiter_;
  int failures_ = 0;
  std::chrono::steady_clock::time_point first_failure_;
  std::minstd_rand random_{std::random_device{}()};
};

}  // namespace quantized
