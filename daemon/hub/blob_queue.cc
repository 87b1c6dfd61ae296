#include "daemon/hub/blob_queue.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <new>
#include <system_error>
#include <thread>
#include <utility>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"

namespace quantized {

namespace fs = std::filesystem;

BlobQueue::BlobQueue(const FetchContext& context, const HubCache& cache, const HubId& id,
                     std::string_view commit, const std::vector<RemoteFile>& files)
    : context_(context),
      cache_(cache),
      shared_cache_(context.settings.shared_cache),
      id_(id),
      commit_(commit) {
  for (const RemoteFile& file : files) {
    items_.push_back(std::make_unique<Item>());
    items_.back()->file = file;
    progress_.total_bytes += file.size_bytes;
  }
}

absl::Status BlobQueue::Run() {
  RETURN_IF_ERROR(CheckDiskSpace());
  {
    const std::stop_callback stop_all(context_.stop, [this] { stop_.request_stop(); });
    std::vector<std::jthread> connections;
    for (size_t i = 0; i < std::max<size_t>(context_.rules.connections, 1); ++i) {
      connections.emplace_back([this] {
        try {
          RunConnection(stop_.get_token());
        } catch (const std::bad_alloc&) {
          Fail(MakeError(Error::kOutOfMemory, "an allocation failed during the download",
                         "Free memory, then give the same command again"));
        }
      });
    }
  }
  const MutexLock lock(mutex_);
  if (failure_.ok() && context_.stop.stop_requested()) {
    return DownloadCancelled();
  }
  return failure_;
}

uint64_t BlobQueue::fetched_bytes() {
  const MutexLock lock(progress_mutex_);
  return progress_.done_bytes - std::min(not_fetched_bytes_, progress_.done_bytes);
}

absl::Status BlobQueue::CheckDiskSpace() const {
  uint64_t needed_bytes = 0;
  for (const auto& item : items_) {
    const RemoteFile& file = item->file;
    if (cache_.HasBlob(id_, file) || SharedCacheHas(file)) continue;
    const uint64_t claimed_bytes = BlobDownload::ClaimedBytes(cache_.BlobPath(id_, file.hash()));
    needed_bytes += file.size_bytes - std::min(claimed_bytes, file.size_bytes);
  }
  ASSIGN_OR_RETURN(const uint64_t free_bytes, FreeDiskBytes(cache_.root()));
  if (needed_bytes <= free_bytes) return absl::OkStatus();
  return MakeError(Error::kDiskFull,
                   StrCat("Model '", id_.name, "' needs ", needed_bytes, " bytes in ",
                          cache_.root().string(), ", which has ", free_bytes, " left"),
                   "Free disk space, or set LLM_QUANTIZE_CACHE to a folder on another disk");
}

void BlobQueue::RunConnection(std::stop_token stop) {
  HttpClient client(context_.http(), stop);
  while (!stop.stop_requested()) {
    const std::optional<Work> work = NextWork();
    if (!work) return;
    if (const absl::Status done = Do(*work, client); !done.ok()) return Fail(done);
  }
}

std::optional<BlobQueue::Work> BlobQueue::NextWork() {
  const MutexLock lock(mutex_);
  for (size_t i = 0; i < next_; ++i) {
    Item& item = *items_[i];
    if (!item.download) continue;
    if (const std::optional<size_t> chunk = item.download->Claim()) {
      return Work{.item = &item, .download = item.download, .chunk = *chunk};
    }
  }
  if (next_ < items_.size()) return Work{.item = items_[next_++].get(), .begin = true};
  if (busy_elsewhere_.empty()) return std::nullopt;
  Item* const item = busy_elsewhere_.front();
  busy_elsewhere_.pop_front();
  return Work{.item = item, .begin = true, .wait = true};
}

absl::Status BlobQueue::Do(const Work& work, HttpClient& client) {
  if (work.begin) return Begin(*work.item, work.wait, client.stop());
  RETURN_IF_ERROR(work.download->Fetch(work.chunk, client, context_.waiter));
  return FinishIfComplete(*work.item, *work.download);
}

absl::Status BlobQueue::Begin(Item& item, bool wait, const std::stop_token& stop) {
  const RemoteFile& file = item.file;
  // Without a lock: a cache that is whole may be read-only.
  if (cache_.HasFile(id_, commit_, file)) {
    CountBytes(static_cast<int64_t>(file.size_bytes), /*fetched=*/false);
    return absl::OkStatus();
  }
  const fs::path lock_path = cache_.LockPath(id_, file.hash());
  ASSIGN_OR_RETURN(item.lock, CacheLock::Try(lock_path));
  if (!item.lock && wait) {
    ASSIGN_OR_RETURN(item.lock, CacheLock::Take(lock_path, stop));
  }
  if (!item.lock) {
    const MutexLock lock(mutex_);
    busy_elsewhere_.push_back(&item);
    return absl::OkStatus();
  }
  bool there = cache_.HasBlob(id_, file);
  if (!there) {
    ASSIGN_OR_RETURN(there, Adopt(file, stop));
  }
  if (there) {
    CountBytes(static_cast<int64_t>(file.size_bytes), /*fetched=*/false);
    return Done(item);
  }
  ASSIGN_OR_RETURN(
      std::shared_ptr<BlobDownload> download,
      BlobDownload::Open(
          {.id = id_, .commit = commit_, .file = file, .blob = cache_.BlobPath(id_, file.hash())},
          context_.rules, [this](int64_t bytes) { CountBytes(bytes, /*fetched=*/true); }));
  {
    const MutexLock lock(progress_mutex_);
    not_fetched_bytes_ += download->resumed_bytes();
  }
  {
    const MutexLock lock(mutex_);
    item.download = download;
  }
  return FinishIfComplete(item, *download);
}

absl::Status BlobQueue::FinishIfComplete(Item& item, BlobDownload& download) {
  ASSIGN_OR_RETURN(const bool finished, download.FinishIfComplete());
  if (!finished) return absl::OkStatus();
  {
    const MutexLock lock(mutex_);
    item.download.reset();
  }
  return Done(item);
}

absl::Status BlobQueue::Done(Item& item) {
  RETURN_IF_ERROR(cache_.Link(id_, commit_, item.file));
  item.lock.reset();
  return absl::OkStatus();
}

bool BlobQueue::SharedCacheHas(const RemoteFile& file) const {
  return !shared_cache_.root().empty() && shared_cache_.HasBlob(id_, file);
}

absl::StatusOr<bool> BlobQueue::Adopt(const RemoteFile& file, const std::stop_token& stop) {
  if (!SharedCacheHas(file)) return false;
  std::error_code error;
  // Its blob may itself be a link.
  const fs::path theirs = fs::canonical(shared_cache_.BlobPath(id_, file.hash()), error);
  if (error) return false;
  ASSIGN_OR_RETURN(const bool right, HasHash(theirs, file.hash(), stop));
  if (!right) {
    const MutexLock lock(progress_mutex_);
    context_.Tell(StrCat(theirs.string(), " does not hold what its name says; fetching '",
                         file.path, "' again"));
    return false;
  }
  const fs::path ours = cache_.BlobPath(id_, file.hash());
  fs::remove(ours, error);  // what is there has another size, or is a link to nothing
  // A second name keeps the bytes when one of the caches is cleared. On another file system, or
  // where others' files may not be linked, a symbolic link.
  if (::link(theirs.c_str(), ours.c_str()) == 0 || ::symlink(theirs.c_str(), ours.c_str()) == 0) {
    return true;
  }
  return ErrnoError(errno, "create link", ours.string());
}

void BlobQueue::Fail(const absl::Status& failure) {
  const MutexLock lock(mutex_);
  // What the stop below makes of others is no failure of its own.
  if (failure_.ok()) failure_ = failure;
  stop_.request_stop();
}

void BlobQueue::CountBytes(int64_t bytes, bool fetched) {
  const MutexLock lock(progress_mutex_);
  if (!fetched) not_fetched_bytes_ += static_cast<uint64_t>(bytes);
  progress_.is_fetching |= fetched;
  progress_.done_bytes += static_cast<uint64_t>(bytes);
  context_.on_progress(progress_);
}

}  // namespace quantized
