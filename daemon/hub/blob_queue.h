// The files of one model that must be in the cache, taken by several connections: whoever is free
// takes the next chunk of a file that is under way, else begins the next file; who finds neither
// waits for those who are busy. A file that another process fetches comes last, and is waited for.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "core/base/mutex.h"
#include "daemon/hub/fetch_model.h"
#include "daemon/hub/hub_cache.h"
#include "daemon/hub/retry.h"

namespace quantized {

// What need not be fetched of `file` of `commit`: all of it where a cache has it, else what an
// earlier download left.
uint64_t BytesThere(const FetchContext& context, const HubId& id, std::string_view commit,
                    const RemoteFile& file);

class BlobQueue {
 public:
  // `files` belong to `commit` of `id`. Offline it takes what the caches have and fetches nothing.
  // All arguments must outlive *this.
  BlobQueue(const FetchContext& context, const HubCache& cache, const HubId& id,
            std::string_view commit, const std::vector<RemoteFile>& files);

  // Returns when all files are in the cache and linked into the snapshot, or with the first
  // failure. Offline, a file that is in no cache or is damaged is one: kModelNotFound,
  // kValidationFailed.
  absl::Status Run();

  // That came over the network for the files; what had to come twice counts twice.
  uint64_t fetched_bytes();

 private:
  struct Item {
    RemoteFile file;
    uint64_t counted_bytes = 0;  // as there, before anything was fetched
    std::optional<CacheLock> lock;
    // Shared with those who look for a chunk of it while another finishes it.
    std::shared_ptr<BlobDownload> download;
  };
  struct Work {
    Item* item = nullptr;
    std::shared_ptr<BlobDownload> download;  // as above
    size_t chunk = 0;
    bool begin = false;  // the item is to be begun
    bool wait = false;   // even if another process has it
  };

  absl::Status CheckDiskSpace() const;
  void CountWhatIsThere();
  void RunConnection(std::stop_token stop);
  // Waits until there is some; nullopt when there will be none, or stopped.
  std::optional<Work> NextWork(const std::stop_token& stop);
  std::optional<Work> WorkForNow() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Wakes who waits for work: somebody is no longer busy, or all are to stop.
  void Changed();
  absl::Status Do(const Work& work, HttpClient& client);
  absl::Status Begin(Item& item, bool wait, const std::stop_token& stop);
  absl::Status FinishIfComplete(Item& item, BlobDownload& download, const std::stop_token& stop);
  // Links the blob into the snapshot and lets go of it.
  absl::Status Done(Item& item);
  // Takes the blob from huggingface_hub's cache, if it is there and right.
  absl::StatusOr<bool> Adopt(const RemoteFile& file, const std::stop_token& stop);
  void Fail(const absl::Status& failure);
  void CountFetched(int64_t bytes);
  // `item` is begun; `resumed_bytes` of it need not come again.
  void CountBegun(const Item& item, uint64_t resumed_bytes);
  // `item` is there, without this process having fetched it.
  void CountThere(const Item& item);

  const FetchContext& context_;
  const HubCache& cache_;
  const HubCache shared_cache_;
  const HubId& id_;
  const std::string commit_;
  TellingWaiter waiter_;
  std::vector<std::unique_ptr<Item>> items_;
  std::stop_source stop_;

  Mutex mutex_;
  size_t busy_ ABSL_GUARDED_BY(mutex_) = 0;
  size_t next_ ABSL_GUARDED_BY(mutex_) = 0;
  std::deque<Item*> busy_elsewhere_ ABSL_GUARDED_BY(mutex_);
  absl::Status failure_ ABSL_GUARDED_BY(mutex_);

  // Nothing else is locked under it: a stop may come from whoever hears of progress.
  Mutex idle_mutex_;
  CondVar changed_;
  uint64_t changes_ ABSL_GUARDED_BY(idle_mutex_) = 0;

  Mutex progress_mutex_;
  FetchProgress progress_ ABSL_GUARDED_BY(progress_mutex_);
  uint64_t fetched_bytes_ ABSL_GUARDED_BY(progress_mutex_) = 0;
};

}  // namespace quantized
