// Where the logs of attempts lie, and how long they are kept.
#pragma once

#include <chrono>
#include <filesystem>
#include <string>

#include "absl/status/status.h"

namespace quantized {

// LOGS_DIR/JOB/ATTEMPT.log
std::filesystem::path AttemptLogPath(const std::filesystem::path& logs_dir,
                                     const std::string& job_id, int attempt);

// Removes the folders of jobs in which nothing was written for `age`.
absl::Status RemoveOldLogs(const std::filesystem::path& logs_dir, std::chrono::hours age);

}  // namespace quantized
