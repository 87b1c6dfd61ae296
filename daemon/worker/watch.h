// The thread that keeps in touch with the daemon while a job runs: a heartbeat each second, the
// stop request by frame or SIGTERM, the end of the process with the daemon's.
#pragma once

#include <atomic>
#include <stop_token>
#include <thread>

#include "daemon/worker/daemon_channel.h"
#include "daemon/worker/progress_reporter.h"

namespace quantized {

// VmHWM now.
v1::WorkerFrame HeartbeatFrame();

class Watch {
 public:
  // SIGTERM must be blocked in every thread. All must outlive this.
  Watch(DaemonChannel& channel, ProgressReporter& reporter);
  // Ends the thread; no heartbeat comes after.
  ~Watch();
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

  // Requested by the daemon's Stop frame or by SIGTERM.
  std::stop_token stop() const { return stop_.get_token(); }

  // Whether the frame came. Without it the signal is somebody else's: a machine that goes down,
  // say. The daemon sends the frame first.
  bool stopped_by_daemon() const { return stopped_by_daemon_; }

 private:
  void Run();

  DaemonChannel& channel_;
  ProgressReporter& reporter_;
  const int signals_, finished_;  // descriptors: a signalfd and an eventfd
  std::stop_source stop_;
  std::atomic<bool> stopped_by_daemon_ = false;
  std::thread thread_;
};

}  // namespace quantized
