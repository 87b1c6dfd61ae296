#include "daemon/worker/json_log.h"

#include <spdlog/logger.h>
#include <spdlog/sinks/stdout_sinks.h>

namespace quantized {

JsonLog::JsonLog(std::string_view component, std::string_view job, int attempt)
    : component_(component),
      job_(job),
      attempt_(attempt),
      logger_(std::make_unique<spdlog::logger>(component_,
                                               std::make_shared<spdlog::sinks::stderr_sink_mt>())) {
  logger_->set_pattern("%v");
}

JsonLog::~JsonLog() = default;

void JsonLog::Info(std::string_view message, Fields fields) {
  Write(spdlog::level::info, message, fields);
}
void JsonLog::Warning(std::string_view message, Fields fields) {
  Write(spdlog::level::warn, message, fields);
}
void JsonLog::Error(std::string_view message, Fields fields) {
  Write(spdlog::level::err, message, fields);
}

void JsonLog::Write(int level, std::string_view message, Fields fields) {
  const auto severity = static_cast<spdlog::level::level_enum>(level);
  const auto name = spdlog::level::to_string_view(severity);
  logger_->log(severity, "{}",
               JsonLogLine(std::string_view(name.data(), name.size()), component_, job_, attempt_,
                           message, fields));
}

}  // namespace quantized
