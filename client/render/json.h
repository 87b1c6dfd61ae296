// Results, errors and progress as JSON. Objects for stdout are indented and end with a line end;
// keys come in the contract's order, further keys after them. Lines for stderr are one object each.
// Strings that are not UTF-8 get replacement characters.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "client/render/progress_line.h"
#include "quantized/v1/job.pb.h"
#include "quantized/v1/service.pb.h"

namespace quantized {

// The contract's "Quantization Result"; of several outputs an array of them.
std::string JsonResults(const v1::QuantizeResults& results, std::string_view job_id);

// The contract's "Error Response"; `finished`, where it is not empty, is an array of results.
std::string JsonError(const absl::Status& status, std::string_view log_tail,
                      std::string_view job_id, const v1::QuantizeResults& finished = {});

std::string JsonJob(const v1::Job& job);
std::string JsonJobs(std::span<const v1::Job> jobs);  // {"jobs": […]}
std::string JsonServer(const v1::ServerInfo& info, std::string_view address);
// After `server stop`: `stopped` is false while the daemon finishes `jobs_left` jobs first.
std::string JsonStopped(bool stopped, int64_t jobs_left);
std::string JsonLog(std::string_view job_id, std::string_view log);
std::string JsonVersion();

// {"event": "message", "message": …}; `event` is "message", "warning" or "error".
std::string JsonMessageLine(std::string_view event, std::string_view message);
std::string JsonProgressLine(const ProgressState& state);

}  // namespace quantized
