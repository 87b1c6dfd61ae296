// Results as people read them: "Key: value" lines and tables, with a line end at the end. Text from
// outside is stripped of control characters.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "quantized/v1/job.pb.h"
#include "quantized/v1/service.pb.h"

namespace quantized {

// One block for each output, with an empty line between them.
std::string HumanResults(const v1::QuantizeResults& results);
std::string HumanJob(const v1::Job& job);
// One row per job, with a heading.
std::string HumanJobs(std::span<const v1::Job> jobs);
std::string HumanServer(const v1::ServerInfo& info, std::string_view address);
// After `server stop`: `stopped` is false while the daemon finishes `jobs_left` jobs first.
std::string HumanStopped(bool stopped, int64_t jobs_left);

}  // namespace quantized
