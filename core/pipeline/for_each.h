// Work on a pool of which each piece can fail.
#pragma once

#include <cstddef>
#include <functional>
#include <vector>

#include "absl/status/status.h"
#include "core/base/status_macros.h"
#include "core/base/thread_pool.h"

namespace quantized {

// body(0) … body(count - 1) on the pool; the first error in that order.
inline absl::Status ForEach(size_t count, ThreadPool& threads,
                            const std::function<absl::Status(size_t)>& body) {
  std::vector<absl::Status> statuses(count);
  threads.ParallelFor(count, [&](size_t i) { statuses[i] = body(i); });
  for (const absl::Status& status : statuses) RETURN_IF_ERROR(status);
  return absl::OkStatus();
}

}  // namespace quantized
