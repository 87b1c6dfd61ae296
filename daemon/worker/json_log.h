// A log of JSON objects, one per line, on standard error: level, time (UTC, microseconds),
// component, job, attempt, message and further fields. Any text may go in; it is escaped, and bytes
// that are no UTF-8 are replaced. Thread-safe.
#pragma once

#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace spdlog {
class logger;
}

namespace quantized {

class JsonLog {
 public:
  using Fields = std::initializer_list<std::pair<std::string_view, std::string_view>>;

  // `job` and `attempt` stand in every line.
  JsonLog(std::string_view component, std::string_view job, int attempt);
  ~JsonLog();

  void Info(std::string_view message, Fields fields = {});
  void Warning(std::string_view message, Fields fields = {});
  void Error(std::string_view message, Fields fields = {});

 private:
  void Write(int level, std::string_view message, Fields fields);

  const std::string component_, job_;
  const int attempt_;
  std::unique_ptr<spdlog::logger> logger_;
};

}  // namespace quantized
