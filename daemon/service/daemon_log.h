// The daemon's log: one JSON object per line (daemon/worker/json_line.h) on standard error, which
// whoever started the daemon has sent to a file or a journal. Thread-safe.
#pragma once

#include <memory>
#include <string>

#include "daemon/queue/log_entry.h"

namespace spdlog {
class logger;
}

namespace quantized {

class DaemonLog {
 public:
  DaemonLog();
  ~DaemonLog();

  void Write(const LogEntry& entry);
  // For the queue; the log must outlive it.
  LogSink sink() {
    return [this](const LogEntry& entry) { Write(entry); };
  }

 private:
  std::unique_ptr<spdlog::logger> logger_;
};

// The file that standard error goes to; empty: it is none.
std::string LogFilePath();

}  // namespace quantized
