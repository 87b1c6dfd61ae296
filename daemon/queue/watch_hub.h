// Who watches which job. Belongs to the queue's thread; the watches themselves are thread-safe.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "daemon/queue/watch.h"

namespace quantized {

class WatchHub {
 public:
  // The hub does not keep a watch alive that nobody else holds. Adding one again changes nothing.
  // False: there are `limit` watches already.
  bool Add(const std::shared_ptr<JobWatch>& watch, size_t limit);

  // To all who watch `job_id`.
  void Push(const std::string& job_id, const SharedEvent& event);
  void PushProgress(const std::string& job_id, const SharedEvent& event);

  // To all; also forgets watches that nobody holds any more.
  void KeepAlive(std::chrono::steady_clock::time_point now, std::chrono::milliseconds silence);
  void CloseAll(const absl::Status& why);

  bool empty() const { return watches_.empty(); }
  size_t size() const;

 private:
  std::unordered_map<std::string, std::vector<std::weak_ptr<JobWatch>>> watches_;
};

}  // namespace quantized
