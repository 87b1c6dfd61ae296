// The files of one model that must be in the cache, taken by several connections: whoever is free
// takes the next chunk of a file that is under way, else begins the next file. A file that another
// process fetches comes last, and is waited for.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "core/base/mutex.h"
#include "daemon/hub/fetch_model.h"
#include "daemon/hub/hub_cache.h"

namespace quantized {

class BlobQueue {
 public:
  // `files` belong to `commit` of `id`. All arguments must outlive *this.
  BlobQueue(const FetchContext& context, const HubCache& cache, const HubId& id,
            std::string_view commit, const std::vector<RemoteFile>& files);

  // Returns when all files are in the cache and linked into the snapshot, or with the first
  // failure.
  absl::Status Run();

  // Of the files, the bytes that were in no cache before Run.
  uint64_t fetched_bytes();

 private:
  struct Item {
    RemoteFile file;
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
  void RunConnection(std::stop_token stop);
  std::optional<Work> NextWork();
  absl::Status Do(const Work& work, HttpClient& client);
  absl::Status Begin(Item& item, bool wait, const std::stop_token& stop);
  absl::Status FinishIfComplete(Item& item, BlobDownload& download);
  // Links the blob into the snapshot and lets go of it.
  absl::Status Done(Item& item);
  bool SharedCacheHas(const RemoteFile& file) const;
  // Takes the blob from huggingface_hub's cache, if it is there and right.
  absl::StatusOr<bool> Adopt(const RemoteFile& file, const std::stop_token& stop);
  void Fail(const absl::Status& failure);
  void CountBytes(int64_t bytes, bool fetched);

  const FetchContext& context_;
  const HubCache& cache_;
  const HubCache shared_cache_;
  const HubId& id_;
  const std::string commit_;
  std::vector<std::unique_ptr<Item>> items_;
  std::stop_source stop_;

  Mutex mutex_;
  size_t next_ ABSL_GUARDED_BY(mutex_) = 0;
  std::deque<Item*> busy_elsewhere_ ABSL_GUARDED_BY(mutex_);
  absl::Status failure_ ABSL_GUARDED_BY(mutex_);

  Mutex progress_mutex_;
  FetchProgress progress_ ABSL_GUARDED_BY(progress_mutex_);
  uint64_t not_fetched_bytes_ ABSL_GUARDED_BY(progress_mutex_) = 0;
};

}  // namespace quantized
