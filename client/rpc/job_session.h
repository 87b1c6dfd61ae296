// One client's work with one job: submits it (or finds it) and watches it to its end on a thread of
// its own, over lost connections and restarts of the daemon. The user of a session waits on
// `wake_fd` beside signals and takes the updates in order; each durable event comes exactly once.
// Destroying the session leaves the job alone.
#pragma once

#include <chrono>
#include <deque>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <variant>

#include "absl/status/status.h"
#include "client/rpc/connection.h"
#include "core/base/mutex.h"
#include "quantized/v1/job.pb.h"
#include "quantized/v1/service.pb.h"

namespace quantized {

// What a session works on.
struct NewJob {
  v1::SubmitJobRequest request;
  bool watch = true;  // false: end after the submit
};
struct ExistingJob {
  std::string id;  // empty: the newest job that has not ended
};

struct SessionOptions {
  ConnectionOptions connection;
  std::variant<NewJob, ExistingJob> job;
  // Without any message from the daemon for this long a stream counts as lost (it sends one every
  // 15 s).
  std::chrono::milliseconds silence_limit{45'000};
  // How long to look for a daemon that was lost.
  std::chrono::milliseconds give_up_after{300'000};
};

namespace session {
struct JobKnown {
  v1::Job job;
};
struct Event {
  v1::JobEvent event;
};
struct ConnectionLost {
  std::string why;
};
struct Reconnected {};
struct Trace {
  std::string line;
};
// The last update. OK: a Finished event came before it (or the submit was all). Otherwise why the
// session could not go on; the job itself may.
struct Ended {
  absl::Status status;
};
}  // namespace session

using SessionUpdate = std::variant<session::JobKnown, session::Event, session::ConnectionLost,
                                   session::Reconnected, session::Trace, session::Ended>;

class JobSession {
 public:
  explicit JobSession(SessionOptions options);
  ~JobSession();
  JobSession(const JobSession&) = delete;
  JobSession& operator=(const JobSession&) = delete;

  // Readable while Take has something to give.
  int wake_fd() const { return wake_fd_; }
  std::optional<SessionUpdate> Take();

  // Asks the daemon to cancel the job, as soon as there is one. Returns at once.
  void Cancel();

  // To be called now and then (each second is enough): gives up a stream that has fallen silent.
  void CheckSilence();

 private:
  void Run(std::stop_token stop);
  absl::StatusOr<v1::Job> FindJob(std::stop_token stop);
  absl::Status Follow(const std::string& id, std::stop_token stop);
  absl::Status Recover(const absl::Status& why, std::stop_token stop);
  void SendTokenAgain(std::stop_token stop);
  void Push(SessionUpdate update);
  void StartCancel(const std::string& id);

  const SessionOptions options_;
  const int wake_fd_;
  std::unique_ptr<Connection> connection_;  // set by the thread before job_id_

  Mutex mutex_;
  std::deque<SessionUpdate> updates_ ABSL_GUARDED_BY(mutex_);
  std::string job_id_ ABSL_GUARDED_BY(mutex_);
  bool cancel_asked_ ABSL_GUARDED_BY(mutex_) = false;
  std::chrono::steady_clock::time_point last_message_ ABSL_GUARDED_BY(mutex_);
  std::optional<std::stop_source> stream_ ABSL_GUARDED_BY(mutex_);  // the open one

  std::jthread cancel_thread_;
  std::jthread thread_;  // last: ends before what it uses
};

}  // namespace quantized
