// What the queue has to say to the daemon's log. The queue links no logging library: the program
// passes a sink that is called from any thread and must not block for long.
#pragma once

#include <functional>
#include <string>

namespace quantized {

struct LogEntry {
  enum class Level { kInfo, kWarning, kError };
  Level level = Level::kInfo;
  std::string component;  // "queue", "service", "main"
  std::string job;        // id; may be empty
  int attempt = 0;        // 0: none
  std::string message;
};

using LogSink = std::function<void(const LogEntry&)>;

}  // namespace quantized
