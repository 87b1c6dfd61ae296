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

namespace {

// Where huggingface_hub's cache has `file`. Without symbolic links it keeps files in the snapshot.
std::optional<fs::path> FindIn(const HubCache& shared_cache, const HubId& id,
                               std::string_view commit, const RemoteFile& file) {
  if (shared_cache.root().empty()) return std::nullopt;
  if (shared_cache.HasBlob(id, file)) return shared_cache.BlobPath(id, file.hash());
  if (!shared_cache.HasFile(id, commit, file)) return std::nullopt;
  return shared_cache.SnapshotPath(id, commit) / file.path;
}

}  // namespace

uint64_t BytesThere(const FetchContext& context, const HubId& id, std::string_view commit,
                    const RemoteFile& file) {
  const HubCache cache(context.settings.cache);
  if (cache.HasFile(id, commit, file) || cache.HasBlob(id, file) ||
      FindIn(HubCache(context.settings.shared_cache), id, commit, file)) {
    return file.size_bytes;
  }
  return BlobDownload::ResumableBytes(cache.BlobPath(id, file.hash()), file, context.rules);
}

BlobQueue::BlobQueue(const FetchContext& context, const HubCache& cache, const HubId& id,
                     std::string_view commit, const std::vector<RemoteFile>& files)
    : context_(context),
      cache_(cache),
      shared_cache_(context.settings.shared_cache),
      id_(id),
      commit_(commit),
      waiter_(context.waiter, [this](std::string_view text) {
        const MutexLock lock(progress_mutex_);
        context_.Tell(text);
      }) {
  for (const RemoteFile& file : files) {
    items_.push_back(std::make_unique<Item>());
    items_.back()->file = file;
    progress_.total_bytes += file.size_bytes;
  }
}

absl::Status BlobQueue::Run() {
  RETURN_IF_ERROR(CheckDiskSpace());
  CountWhatIsThere();
  {
    const std::stop_callback stop_all(context_.stop, [this] { stop_.request_stop(); });
    const std::stop_callback wake_all(stop_.get_token(), [this] { Changed(); });
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
  return fetched_bytes_;
}

absl::Status BlobQueue::CheckDiskSpace() const {
  uint64_t needed_bytes = 0;
  for (const auto& item : items_) {
    const RemoteFile& file = item->file;
    if (cache_.HasBlob(id_, file) || FindIn(shared_cache_, id_, commit_, file)) continue;
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

void BlobQueue::CountWhatIsThere() {
  const MutexLock lock(progress_mutex_);
  for (const auto& item : items_) {
    item->counted_bytes = BytesThere(context_, id_, commit_, item->file);
    progress_.done_bytes += item->counted_bytes;
  }
  context_.on_progress(progress_);
}

void BlobQueue::RunConnection(std::stop_token stop) {
  HttpClient client(context_.http(), stop);
  while (const std::optional<Work> work = NextWork(stop)) {
    if (const absl::Status done = Do(*work, client); !done.ok()) return Fail(done);
    {
      const MutexLock lock(mutex_);
      --busy_;
    }
    Changed();
  }
}

std::optional<BlobQueue::Work> BlobQueue::NextWork(const std::stop_token& stop) {
  while (true) {
    uint64_t seen_changes = 0;
    {
      const MutexLock lock(idle_mutex_);
      if (stop.stop_requested()) return std::nullopt;
      seen_changes = changes_;
    }
    {
      const MutexLock lock(mutex_);
      if (std::optional<Work> work = WorkForNow()) {
        ++busy_;
        return work;
      }
      // Who is busy may make work: a file that he begins has chunks, one that was wrong comes anew.
      if (busy_ == 0) return std::nullopt;
    }
    const MutexLock lock(idle_mutex_);
    while (changes_ == seen_changes) changed_.Wait(idle_mutex_);
  }
}

void BlobQueue::Changed() {
  const MutexLock lock(idle_mutex_);
  ++changes_;
  changed_.NotifyAll();
}

std::optional<BlobQueue::Work> BlobQueue::WorkForNow() {
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
  RETURN_IF_ERROR(work.download->Fetch(work.chunk, client, waiter_));
  return FinishIfComplete(*work.item, *work.download, client.stop());
}

absl::Status BlobQueue::Begin(Item& item, bool wait, const std::stop_token& stop) {
  const RemoteFile& file = item.file;
  // Without a lock: a cache that is whole may be read-only.
  if (cache_.HasFile(id_, commit_, file)) {
    CountThere(item);
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(cache_.Prepare(id_));
  const fs::path lock_path = cache_.LockPath(id_, file.hash());
  ASSIGN_OR_RETURN(item.lock, CacheLock::Try(lock_path));
  if (!item.lock && wait) {
    {
      const MutexLock lock(progress_mutex_);
      context_.Tell(StrCat("Waiting for '", file.path, "', which another process fetches"));
    }
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
    CountThere(item);
    return Done(item);
  }
  if (context_.settings.offline) {
    return MakeError(Error::kModelNotFound, StrCat("file '", file.path, "' of model '", id_.name,
                                                   "' is no longer in the cache"));
  }
  ASSIGN_OR_RETURN(
      std::shared_ptr<BlobDownload> download,
      BlobDownload::Open(
          {.id = id_, .commit = commit_, .file = file, .blob = cache_.BlobPath(id_, file.hash())},
          context_.rules, [this](int64_t bytes) { CountFetched(bytes); }));
  CountBegun(item, download->resumed_bytes());
  {
    const MutexLock lock(mutex_);
    item.download = download;
  }
  return FinishIfComplete(item, *download, stop);
}

absl::Status BlobQueue::FinishIfComplete(Item& item, BlobDownload& download,
                                         const std::stop_token& stop) {
  ASSIGN_OR_RETURN(const bool finished, download.FinishIfComplete(stop));
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

absl::StatusOr<bool> BlobQueue::Adopt(const RemoteFile& file, const std::stop_token& stop) {
  const std::optional<fs::path> found = FindIn(shared_cache_, id_, commit_, file);
  if (!found) return false;
  std::error_code error;
  // Its blob may itself be a link.
  const fs::path theirs = fs::canonical(*found, error);
  if (error) return false;
  ASSIGN_OR_RETURN(const bool right, HasHash(theirs, file.hash(), stop));
  if (!right && context_.settings.offline) {
    return MakeError(
        Error::kValidationFailed,
        StrCat("file '", file.path, "' of model '", id_.name, "' is damaged: ", theirs.string(),
               " does not have the hash ", file.hash()),
        "Give the same command when the Hub can be asked, without HF_HUB_OFFLINE: the file is "
        "fetched again");
  }
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
  {
    const MutexLock lock(mutex_);
    // What the stop below makes of others is no failure of its own.
    if (failure_.ok()) failure_ = failure;
  }
  stop_.request_stop();
}

void BlobQueue::CountFetched(int64_t bytes) {
  const MutexLock lock(progress_mutex_);
  progress_.done_bytes += static_cast<uint64_t>(bytes);
  if (bytes > 0) fetched_bytes_ += static_cast<uint64_t>(bytes);
  context_.on_progress(progress_);
}

void BlobQueue::CountBegun(const Item& item, uint64_t resumed_bytes) {
  const MutexLock lock(progress_mutex_);
  progress_.done_bytes += resumed_bytes - item.counted_bytes;
  progress_.is_fetching = true;
  context_.on_progress(progress_);
}

void BlobQueue::CountThere(const Item& item) {
  const MutexLock lock(progress_mutex_);
  const uint64_t made_elsewhere_bytes = item.file.size_bytes - item.counted_bytes;
  if (made_elsewhere_bytes == 0) return;
  // By another process since: as done it would count as what came to this one.
  progress_.total_bytes -= made_elsewhere_bytes;
  context_.on_progress(progress_);
}

}  // namespace quantized
