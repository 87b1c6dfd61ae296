#include "daemon/queue/watch_hub.h"

#include <algorithm>

namespace quantized {
namespace {

// Calls `visit` for each watch that is still held, and forgets the others.
template <typename Visit>
void ForEach(std::vector<std::weak_ptr<JobWatch>>& watches, const Visit& visit) {
  std::erase_if(watches, [&](const std::weak_ptr<JobWatch>& weak) {
    const std::shared_ptr<JobWatch> watch = weak.lock();
    if (!watch || watch->closed()) return true;
    visit(*watch);
    return false;
  });
}

}  // namespace

bool WatchHub::Add(const std::shared_ptr<JobWatch>& watch, size_t limit) {
  std::vector<std::weak_ptr<JobWatch>>& watches = watches_[watch->job_id()];
  const bool known = std::ranges::any_of(
      watches, [&](const std::weak_ptr<JobWatch>& weak) { return weak.lock() == watch; });
  if (known) return true;
  if (size() >= limit) return false;
  watches.push_back(watch);
  return true;
}

void WatchHub::Push(const std::string& job_id, const SharedEvent& event) {
  const auto found = watches_.find(job_id);
  if (found == watches_.end()) return;
  ForEach(found->second, [&](JobWatch& watch) { watch.Push(event); });
}

void WatchHub::PushProgress(const std::string& job_id, const SharedEvent& event) {
  const auto found = watches_.find(job_id);
  if (found == watches_.end()) return;
  ForEach(found->second, [&](JobWatch& watch) { watch.PushProgress(event); });
}

void WatchHub::KeepAlive(std::chrono::steady_clock::time_point now,
                         std::chrono::milliseconds silence) {
  for (auto& [job_id, watches] : watches_) {
    ForEach(watches, [&](JobWatch& watch) { watch.KeepAlive(now, silence); });
  }
  std::erase_if(watches_, [](const auto& entry) { return entry.second.empty(); });
}

void WatchHub::CloseAll(const absl::Status& why) {
  for (auto& [job_id, watches] : watches_) {
    ForEach(watches, [&](JobWatch& watch) { watch.Close(why); });
  }
  watches_.clear();
}

size_t WatchHub::size() const {
  size_t count = 0;
  for (const auto& [job_id, watches] : watches_) count += watches.size();
  return count;
}

}  // namespace quantized
