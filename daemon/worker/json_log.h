// A log of JSON objects, one per line (daemon/worker/json_line.h), on standard error. Thread-safe.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "daemon/worker/json_line.h"

namespace spdlog {
class logger;
}

namespace quantized {

class JsonLog {
 public:
  using Fields = JsonFields;

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
