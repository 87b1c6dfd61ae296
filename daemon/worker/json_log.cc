#include "daemon/worker/json_log.h"

#include <spdlog/logger.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <nlohmann/json.hpp>

#include "absl/time/clock.h"
#include "absl/time/time.h"

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
  nlohmann::ordered_json line = {
      {"level", std::string_view(name.data(), name.size())},
      {"time", absl::FormatTime("%Y-%m-%dT%H:%M:%E6SZ", absl::Now(), absl::UTCTimeZone())},
      {"component", component_},
      {"job", job_},
      {"attempt", attempt_},
      {"message", message}};
  for (const auto& [key, value] : fields) line[std::string(key)] = value;
  logger_->log(severity, "{}",
               line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
}

}  // namespace quantized
