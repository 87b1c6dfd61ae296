#include "daemon/service/daemon_log.h"

#include <spdlog/logger.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <climits>

#include "daemon/worker/json_line.h"

namespace quantized {
namespace {

struct LevelRow {
  spdlog::level::level_enum level;
  const char* name;
};
// In the order of LogEntry::Level.
constexpr std::array kLevels = {
    LevelRow{spdlog::level::info, "info"},
    LevelRow{spdlog::level::warn, "warning"},
    LevelRow{spdlog::level::err, "error"},
};

}  // namespace

DaemonLog::DaemonLog()
    : logger_(std::make_unique<spdlog::logger>("quantized",
                                               std::make_shared<spdlog::sinks::stderr_sink_mt>())) {
  logger_->set_pattern("%v");
}

DaemonLog::~DaemonLog() = default;

void DaemonLog::Write(const LogEntry& entry) {
  const LevelRow& row = kLevels[static_cast<size_t>(entry.level)];
  logger_->log(row.level, "{}",
               JsonLogLine(row.name, entry.component, entry.job, entry.attempt, entry.message));
}

std::string LogFilePath() {
  struct stat found;
  if (fstat(STDERR_FILENO, &found) != 0 || !S_ISREG(found.st_mode)) return "";
  std::array<char, PATH_MAX> path;
  const ssize_t size = readlink("/proc/self/fd/2", path.data(), path.size());
  return size > 0 ? std::string(path.data(), static_cast<size_t>(size)) : "";
}

}  // namespace quantized
