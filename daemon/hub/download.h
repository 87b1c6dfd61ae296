// One file of a model on its way into the cache: chunks that several connections fetch by ranges of
// bytes and write at their places in BLOB.chunks.incomplete, with a journal of those that are in.
// The hash runs along over the part that is in without a gap. The file becomes the blob only when
// the hash of the whole is the one by which the Hub names it. Design: docs/design/hub.md.
//
// Use, by each of several threads: Claim, Fetch, FinishIfComplete, until Claim gives nothing.
// Thread-safe. The caller holds the CacheLock of the blob.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/base/digest.h"
#include "core/base/file.h"
#include "core/base/mutex.h"
#include "daemon/hub/chunk_journal.h"
#include "daemon/hub/http.h"
#include "daemon/hub/hub_id.h"
#include "daemon/hub/remote_file.h"
#include "daemon/hub/retry.h"

namespace quantized {

struct DownloadRules {
  uint64_t chunk_bytes = 16 << 20;  // what one request asks for
  // What came is synced when it is so much and the last time was so long ago: a machine that stops
  // loses no more than that, and a fast download is not held up by its disk.
  uint64_t sync_bytes = 64 << 20;
  std::chrono::seconds sync_interval{10};
  size_t connections = 4;
  RetryRules retries = kPatientRules;

  // What came is in the journal when it is so much: a killed process loses no more than that of
  // each connection, and so at most one chunk.
  uint64_t part_bytes() const {
    return std::max<uint64_t>(chunk_bytes / std::max<size_t>(connections, 1), 1);
  }
};

class BlobDownload {
 public:
  struct Task {
    HubId id;
    std::string commit;
    RemoteFile file;
    std::filesystem::path blob;
  };
  // Bytes that came in, or (negative) that must come again. Called from any thread.
  using OnBytes = std::function<void(int64_t)>;

  // Claims the disk space, takes up what an earlier process left. Errors: kIo, kDiskFull.
  static absl::StatusOr<std::unique_ptr<BlobDownload>> Open(Task task, const DownloadRules& rules,
                                                            OnBytes on_bytes);

  // What an earlier download of the blob took of the disk already.
  static uint64_t ClaimedBytes(const std::filesystem::path& blob);

  // What an earlier download of the blob of `file` left for Open to take up.
  static uint64_t ResumableBytes(const std::filesystem::path& blob, const RemoteFile& file,
                                 const DownloadRules& rules);

  // What an earlier process left: not told to `on_bytes`.
  uint64_t resumed_bytes() const { return resumed_bytes_; }

  // A chunk for the caller to Fetch; nullopt when there is none for now.
  std::optional<size_t> Claim();

  // Brings the chunk in, with as many attempts as the rules allow. OK also when the chunk has to be
  // claimed again, because the server has another file or knows no ranges. Errors: those of
  // HubRefusal; kIo; kValidationFailed when the server twice has another file than it told.
  absl::Status Fetch(size_t chunk, HttpClient& client, Waiter& waiter);

  // When all chunks are in: checks the hash and makes the blob. True when the blob is there; false
  // when chunks are missing, be it since the hash was wrong for the first time. Errors:
  // kValidationFailed when it is wrong again, with both hashes; kIo; kCancelled.
  absl::StatusOr<bool> FinishIfComplete(const std::stop_token& stop);

 private:
  enum class ChunkState { kWaiting, kFetching, kDone };
  struct Chunk {
    ChunkState state = ChunkState::kWaiting;
    uint64_t received_bytes = 0;  // in the file, from the chunk's beginning on
  };
  // How an attempt ended.
  enum class Verdict {
    kDone,
    kAgain,  // worth another attempt
    // By whom the Hub redirected to, or what came is no answer to what was asked: the Hub may know
    // another place, for a few attempts.
    kRefused,
    kFailed,
    kNoRanges,   // the server sends whole files; where it sent ranges before, perhaps by mistake
    kOtherEtag,  // the server names the bytes otherwise now: its names are not to be relied on
    kChanged,    // the server has another file than the Hub told
  };
  struct Attempt {
    Verdict verdict;
    absl::Status failure;  // why not kDone
    HttpResponse response;
  };
  // A server's name of the bytes. Empty: none is known.
  struct Etag {
    std::string text, origin;
  };
  struct Source {
    std::string url;
    Etag etag;
  };
  class Receiver;

  BlobDownload(Task task, const DownloadRules& rules, OnBytes on_bytes, File file);
  absl::Status Resume();
  ByteRange RangeOf(size_t chunk) const;
  ByteRange MissingOf(size_t chunk);
  bool AllDone() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Source SourceFor(const HttpClient& client);
  void RememberSource(const HttpClient& client, const HttpResponse& response);
  void DistrustEtags();
  void ForgetSource();
  bool RangesCame();
  // Of the whole file, or what is missing of the claimed chunk.
  Attempt FetchOnce(size_t chunk, bool whole, uint64_t& received_bytes, HttpClient& client);
  Attempt Judge(const HttpResult& result, const Receiver& receiver, HttpClient& client);
  // So much of a claimed chunk is in.
  absl::Status KeepPart(size_t chunk, uint64_t received_bytes);
  // All of it is: journal, sync, hash.
  absl::Status Keep(size_t chunk, bool whole, const std::stop_token& stop);
  // After kCancelled the hash is of no use.
  absl::Status HashWhatIsIn(const std::stop_token& stop);
  // The next chunk to hash, if it is in and nobody hashes.
  std::optional<size_t> NextToHash();
  // A claimed chunk is given up or kept; the last to leave starts afresh if that is due.
  absl::Status Leave(size_t chunk, ChunkState state);
  absl::Status AnotherFile(const absl::Status& why);
  void ForgetReceived() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status StartAfresh() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::string Name() const;

  const Task task_;
  const DownloadRules rules_;
  const OnBytes on_bytes_;
  File file_;
  uint64_t resumed_bytes_ = 0;

  Mutex mutex_;
  std::vector<Chunk> chunks_ ABSL_GUARDED_BY(mutex_);
  std::optional<ChunkJournal> journal_ ABSL_GUARDED_BY(mutex_);  // none for a file of one part
  bool whole_ ABSL_GUARDED_BY(mutex_) = false;                   // one stream, claimed as chunk 0
  bool ranges_came_ ABSL_GUARDED_BY(mutex_) = false;
  size_t in_flight_ ABSL_GUARDED_BY(mutex_) = 0;
  bool afresh_due_ ABSL_GUARDED_BY(mutex_) = false;
  bool second_time_ ABSL_GUARDED_BY(mutex_) = false;
  bool finishing_ ABSL_GUARDED_BY(mutex_) = false;
  bool hashing_ ABSL_GUARDED_BY(mutex_) = false;
  size_t hashed_chunks_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t unsynced_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  std::chrono::steady_clock::time_point last_sync_ ABSL_GUARDED_BY(mutex_) =
      std::chrono::steady_clock::now();
  Etag etag_ ABSL_GUARDED_BY(mutex_);
  bool etags_vary_ ABSL_GUARDED_BY(mutex_) = false;
  std::string direct_url_ ABSL_GUARDED_BY(mutex_);  // where the Hub redirected to
  // Whoever set hashing_, or claimed the whole file, or finishes, has it.
  Digest digest_;
};

}  // namespace quantized
