#include "daemon/hub/download.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <span>
#include <system_error>
#include <utility>

#include "absl/strings/numbers.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/base/text.h"
#include "daemon/hub/blob_digest.h"
#include "daemon/hub/hub_api.h"
#include "daemon/hub/url.h"

namespace quantized {
namespace {

namespace fs = std::filesystem;

// Not HASH.incomplete: versions of huggingface_hub append to a file of that name.
fs::path IncompletePath(const fs::path& blob) { return blob.string() + ".chunks.incomplete"; }
fs::path JournalPath(const fs::path& blob) { return blob.string() + ".chunks.journal"; }

// Answers that more patience does not better, in a row: a stream cut short, a refusal by whom the
// Hub redirects to.
constexpr int kMostSetbacks = 7;

ChunkJournal::Key JournalKey(const RemoteFile& file, const DownloadRules& rules) {
  return {.hash = file.hash(), .size_bytes = file.size_bytes, .chunk_bytes = rules.chunk_bytes};
}

bool IsStrongEtag(std::string_view etag) { return etag.size() > 2 && etag.starts_with('"'); }

// X-Linked-Etag is the hash of a file of LFS, quoted.
bool NamesAnotherHash(const HttpResponse& response, const RemoteFile& file) {
  std::string etag = response.Header("x-linked-etag");
  std::erase(etag, '"');
  return !file.lfs_sha256.empty() && IsHex(etag, 64) && etag != file.lfs_sha256;
}

bool NamesAnotherSize(const HttpResponse& response, const RemoteFile& file) {
  uint64_t size_bytes = 0;
  return absl::SimpleAtoi(response.Header("x-linked-size"), &size_bytes) &&
         size_bytes != file.size_bytes;
}

}  // namespace

// Takes the body of one response to its place in the file.
class BlobDownload::Receiver {
 public:
  Receiver(BlobDownload& download, size_t chunk, ByteRange range, bool whole, Etag etag)
      : download_(download), chunk_(chunk), range_(range), whole_(whole), etag_(std::move(etag)) {}

  absl::Status Take(const HttpResponse& response, std::span<const std::byte> bytes) {
    if (received_bytes_ == 0) {
      RETURN_IF_ERROR(CheckHead(response));
    }
    if (bytes.size() > range_.size_bytes() - received_bytes_) {
      const std::string why =
          StrCat("more than the ", range_.size_bytes(), " bytes asked for came");
      return whole_ ? Changed(why) : Refused(why);
    }
    while (!bytes.empty()) {
      const uint64_t part_bytes = download_.rules_.part_bytes();
      const uint64_t in_chunk = InChunk();
      const auto piece =
          bytes.first(std::min<uint64_t>(bytes.size(), part_bytes - in_chunk % part_bytes));
      RETURN_IF_ERROR(download_.file_.WriteAt(range_.begin + received_bytes_, piece));
      received_bytes_ += piece.size();
      download_.on_bytes_(static_cast<int64_t>(piece.size()));
      if (whole_) {
        download_.digest_.Update(piece);
      } else {
        RETURN_IF_ERROR(download_.KeepPart(chunk_, InChunk()));
      }
      bytes = bytes.subspan(piece.size());
    }
    return absl::OkStatus();
  }

  uint64_t received_bytes() const { return received_bytes_; }
  bool complete() const { return received_bytes_ == range_.size_bytes(); }
  // Why Take failed, if it did for a reason other than the disk.
  std::optional<Verdict> verdict() const { return verdict_; }
  std::string Missing() const {
    return StrCat("the response ended after ", received_bytes_, " of ", range_.size_bytes(),
                  " bytes");
  }

 private:
  uint64_t InChunk() const {
    return range_.begin + received_bytes_ - download_.RangeOf(chunk_).begin;
  }

  absl::Status Changed(const std::string& why) {
    verdict_ = Verdict::kChanged;
    return MakeError(Error::kValidationFailed, why);
  }

  absl::Status Refused(const std::string& why) {
    verdict_ = Verdict::kRefused;
    return MakeError(Error::kIo, why);
  }

  absl::Status CheckHead(const HttpResponse& response) {
    const RemoteFile& file = download_.task_.file;
    if (NamesAnotherHash(response, file)) {
      return Changed(StrCat("the Hub serves ", PrintableText(response.Header("x-linked-etag")),
                            ", expected ", file.lfs_sha256));
    }
    if (NamesAnotherSize(response, file)) {
      return Changed(StrCat("the Hub serves ", PrintableText(response.Header("x-linked-size")),
                            " bytes, expected ", file.size_bytes));
    }
    if (whole_) return absl::OkStatus();
    if (response.status != 206 && !etag_.text.empty() && response.Header("etag") != etag_.text &&
        OriginOf(response.url) == etag_.origin) {
      verdict_ = Verdict::kOtherEtag;
      return MakeError(Error::kIo, "the server has another ETag now");
    }
    if (response.status != 206) {
      verdict_ = Verdict::kNoRanges;
      return MakeError(Error::kIo, "the server sends no ranges");
    }
    const std::string found = response.Header("content-range");
    if (IsContentRange(found, range_, file.size_bytes)) return absl::OkStatus();
    const std::string why =
        StrCat("the server's range is '", PrintableText(found), "', expected bytes ", range_.begin,
               "-", range_.end - 1, "/", file.size_bytes);
    // Another place of the same file says nothing against what came before.
    return found.ends_with(StrCat("/", file.size_bytes)) ? Refused(why) : Changed(why);
  }

  BlobDownload& download_;
  const size_t chunk_;
  const ByteRange range_;
  const bool whole_;
  const Etag etag_;
  uint64_t received_bytes_ = 0;
  std::optional<Verdict> verdict_;
};

absl::StatusOr<std::unique_ptr<BlobDownload>> BlobDownload::Open(Task task,
                                                                 const DownloadRules& rules,
                                                                 OnBytes on_bytes) {
  ASSIGN_OR_RETURN(File file, File::OpenForWrite(IncompletePath(task.blob)));
  std::unique_ptr<BlobDownload> download(
      new BlobDownload(std::move(task), rules, std::move(on_bytes), std::move(file)));
  RETURN_IF_ERROR(download->Resume());
  return download;
}

uint64_t BlobDownload::ClaimedBytes(const fs::path& blob) {
  struct stat info;
  if (::stat(IncompletePath(blob).c_str(), &info) != 0) return 0;
  return static_cast<uint64_t>(info.st_blocks) * 512;
}

uint64_t BlobDownload::ResumableBytes(const fs::path& blob, const RemoteFile& file,
                                      const DownloadRules& rules) {
  std::error_code error;
  if (file.size_bytes <= rules.part_bytes() ||
      fs::file_size(IncompletePath(blob), error) != file.size_bytes || error) {
    return 0;
  }
  return ChunkJournal::PeekBytes(JournalPath(blob), JournalKey(file, rules));
}

BlobDownload::BlobDownload(Task task, const DownloadRules& rules, OnBytes on_bytes, File file)
    : task_(std::move(task)),
      rules_(rules),
      on_bytes_(std::move(on_bytes)),
      file_(std::move(file)),
      digest_(BlobDigest(task_.file.hash(), task_.file.size_bytes)) {}

absl::Status BlobDownload::Resume() {
  const MutexLock lock(mutex_);
  const uint64_t size_bytes = task_.file.size_bytes;
  const ChunkJournal::Key key = JournalKey(task_.file, rules_);
  chunks_.resize(key.chunk_count());
  whole_ = size_bytes <= rules_.part_bytes();
  ASSIGN_OR_RETURN(const uint64_t left_bytes, file_.SizeBytes());
  if (!whole_) {
    ASSIGN_OR_RETURN(journal_, ChunkJournal::Open(JournalPath(task_.blob), key));
    if (left_bytes != size_bytes) {
      RETURN_IF_ERROR(journal_->Reset());
    }
    for (const size_t chunk : journal_->chunks()) {
      chunks_[chunk] = {.state = ChunkState::kDone, .received_bytes = key.BytesOf(chunk)};
    }
    for (const auto& [chunk, bytes] : journal_->parts()) chunks_[chunk].received_bytes = bytes;
    resumed_bytes_ = journal_->received_bytes();
    ranges_came_ = resumed_bytes_ > 0;
  } else {
    std::error_code ignored;
    fs::remove(JournalPath(task_.blob), ignored);  // of a process with larger parts
  }
  return file_.Allocate(size_bytes);
}

ByteRange BlobDownload::RangeOf(size_t chunk) const {
  const uint64_t begin = chunk * rules_.chunk_bytes;
  return {.begin = begin, .end = std::min(begin + rules_.chunk_bytes, task_.file.size_bytes)};
}

ByteRange BlobDownload::MissingOf(size_t chunk) {
  const MutexLock lock(mutex_);
  ByteRange missing = RangeOf(chunk);
  missing.begin += chunks_[chunk].received_bytes;
  return missing;
}

bool BlobDownload::AllDone() const {
  return std::ranges::all_of(chunks_,
                             [](const Chunk& chunk) { return chunk.state == ChunkState::kDone; });
}

std::optional<size_t> BlobDownload::Claim() {
  const MutexLock lock(mutex_);
  // One stream, and a fresh start, wait for all who are still at it.
  if (finishing_ || ((whole_ || afresh_due_) && in_flight_ > 0)) return std::nullopt;
  const auto waiting = std::ranges::find(chunks_, ChunkState::kWaiting, &Chunk::state);
  if (waiting == chunks_.end()) return std::nullopt;
  ++in_flight_;
  if (whole_) {
    ForgetReceived();
    for (Chunk& chunk : chunks_) chunk.state = ChunkState::kFetching;
    return 0;
  }
  waiting->state = ChunkState::kFetching;
  return static_cast<size_t>(waiting - chunks_.begin());
}

absl::Status BlobDownload::Fetch(size_t chunk, HttpClient& client, Waiter& waiter) {
  bool whole;
  {
    const MutexLock lock(mutex_);
    whole = whole_;
  }
  Retries retries(rules_.retries, waiter);
  int setbacks = 0;
  while (true) {
    if (whole) digest_ = BlobDigest(task_.file.hash(), task_.file.size_bytes);
    uint64_t received_bytes = 0;
    const Attempt attempt = FetchOnce(chunk, whole, received_bytes, client);
    if (attempt.verdict == Verdict::kDone) {
      RETURN_IF_ERROR(Keep(chunk, whole, client.stop())) << Name();
      return Leave(chunk, ChunkState::kDone);
    }
    if (attempt.verdict == Verdict::kOtherEtag) {
      DistrustEtags();  // so this does not come again
      continue;
    }
    if (received_bytes > 0) retries.Progressed();
    // A stream starts from its beginning, and one that is always cut would never end.
    bool goes_on = attempt.verdict == Verdict::kAgain;
    if (whole) {
      on_bytes_(-static_cast<int64_t>(received_bytes));
      if (received_bytes > 0) goes_on = goes_on && ++setbacks < kMostSetbacks;
    } else if (received_bytes > 0) {
      setbacks = 0;
    }
    if (attempt.verdict == Verdict::kRefused ||
        (attempt.verdict == Verdict::kNoRanges && RangesCame())) {
      ForgetSource();
      goes_on = ++setbacks < kMostSetbacks;
    }
    absl::Status failure = attempt.failure;
    if (goes_on) {
      failure = retries.WaitToRetry(failure, attempt.response, client.stop());
      if (failure.ok()) continue;
    }
    if (attempt.verdict == Verdict::kNoRanges) {
      const MutexLock lock(mutex_);
      whole_ = true;
      failure = absl::OkStatus();
    } else if (attempt.verdict == Verdict::kChanged) {
      failure = AnotherFile(failure);
    }
    RETURN_IF_ERROR(Leave(chunk, ChunkState::kWaiting));
    RETURN_IF_ERROR(failure) << Name();
    return absl::OkStatus();
  }
}

BlobDownload::Source BlobDownload::SourceFor(const HttpClient& client) {
  const MutexLock lock(mutex_);
  return {.url = direct_url_.empty()
                     ? FileUrl(client.settings().endpoint, task_.id, task_.commit, task_.file.path)
                     : direct_url_,
          .etag = etags_vary_ ? Etag() : etag_};
}

// After a response whose range came: the next chunk need not ask the Hub where the file is.
void BlobDownload::RememberSource(const HttpClient& client, const HttpResponse& response) {
  const MutexLock lock(mutex_);
  if (!IsOfHub(client.settings(), response)) direct_url_ = response.url;
  ranges_came_ |= response.status == 206;
  const std::string etag = response.Header("etag");
  const std::string origin = OriginOf(response.url).value_or("");
  if (origin == etag_.origin) return;
  etag_ = IsStrongEtag(etag) ? Etag{.text = etag, .origin = origin} : Etag();
}

// Servers behind one name may each name the same bytes otherwise. The Hub is asked again where they
// are, and what it says of them counts, and in the end their hash.
void BlobDownload::DistrustEtags() {
  const MutexLock lock(mutex_);
  etags_vary_ = true;
  direct_url_.clear();
}

// Where the Hub redirects to is good for a while only.
void BlobDownload::ForgetSource() {
  const MutexLock lock(mutex_);
  direct_url_.clear();
}

bool BlobDownload::RangesCame() {
  const MutexLock lock(mutex_);
  return ranges_came_;
}

BlobDownload::Attempt BlobDownload::FetchOnce(size_t chunk, bool whole, uint64_t& received_bytes,
                                              HttpClient& client) {
  const Source source = SourceFor(client);
  const ByteRange range =
      whole ? ByteRange{.begin = 0, .end = task_.file.size_bytes} : MissingOf(chunk);
  // All came, and then the transfer failed.
  if (range.size_bytes() == 0) return {Verdict::kDone, absl::OkStatus(), {}};
  HttpRequest request{.url = source.url};
  if (!whole) {
    request.range = range;
    request.if_range = source.etag.text;
    request.if_range_origin = source.etag.origin;
  }
  Receiver receiver(*this, chunk, range, whole, source.etag);
  const HttpResult result =
      client.Get(request, [&](const HttpResponse& response, std::span<const std::byte> bytes) {
        return receiver.Take(response, bytes);
      });
  received_bytes = receiver.received_bytes();
  if (received_bytes > 0) RememberSource(client, result.response);
  return Judge(result, receiver, client);
}

BlobDownload::Attempt BlobDownload::Judge(const HttpResult& result, const Receiver& receiver,
                                          HttpClient& client) {
  const HttpResponse& response = result.response;
  if (receiver.verdict()) return {*receiver.verdict(), result.transfer, response};
  if (!result.transfer.ok()) {
    return {result.may_retry ? Verdict::kAgain : Verdict::kFailed, result.transfer, response};
  }
  if (response.succeeded()) {
    if (receiver.complete()) return {Verdict::kDone, absl::OkStatus(), response};
    return {Verdict::kAgain,
            MakeError(Error::kIo, StrCat(PublicUrl(response.url), ": ", receiver.Missing())),
            response};
  }
  const absl::Status refusal =
      HubRefusal(client.settings(), task_.id, task_.file.path, Existence::kSeen, response);
  if (response.status == 416) return {Verdict::kChanged, refusal, response};
  if (result.may_retry) return {Verdict::kAgain, refusal, response};
  const bool at_hub = IsOfHub(client.settings(), response);
  return {at_hub ? Verdict::kFailed : Verdict::kRefused, refusal, response};
}

absl::Status BlobDownload::KeepPart(size_t chunk, uint64_t received_bytes) {
  const MutexLock lock(mutex_);
  chunks_[chunk].received_bytes = received_bytes;
  const bool is_rest = received_bytes == RangeOf(chunk).size_bytes();
  if (is_rest || received_bytes % rules_.part_bytes() != 0) return absl::OkStatus();
  return journal_->AddPart(chunk, received_bytes);
}

absl::Status BlobDownload::Keep(size_t chunk, bool whole, const std::stop_token& stop) {
  if (whole) {
    const MutexLock lock(mutex_);
    for (size_t one = 0; one < chunks_.size(); ++one) {
      chunks_[one] = {.state = ChunkState::kDone, .received_bytes = RangeOf(one).size_bytes()};
    }
    hashed_chunks_ = chunks_.size();  // as the bytes came
    return absl::OkStatus();
  }
  const ByteRange range = RangeOf(chunk);
  // So that little is left to write when the whole is synced; a hint, nothing relies on it.
  ::sync_file_range(file_.fd(), static_cast<off_t>(range.begin),
                    static_cast<off_t>(range.size_bytes()), SYNC_FILE_RANGE_WRITE);
  size_t to_sync = 0;
  {
    const MutexLock lock(mutex_);
    chunks_[chunk].state = ChunkState::kDone;
    RETURN_IF_ERROR(journal_->Add(chunk));
    unsynced_bytes_ += range.size_bytes();
    const auto now = std::chrono::steady_clock::now();
    if (unsynced_bytes_ >= rules_.sync_bytes && now - last_sync_ >= rules_.sync_interval) {
      unsynced_bytes_ = 0;
      last_sync_ = now;
      to_sync = journal_->chunks().size();
    }
  }
  if (to_sync > 0) {
    RETURN_IF_ERROR(file_.Sync());
    const MutexLock lock(mutex_);
    RETURN_IF_ERROR(journal_->Synced(to_sync));
  }
  return HashWhatIsIn(stop);
}

std::optional<size_t> BlobDownload::NextToHash() {
  const MutexLock lock(mutex_);
  if (hashing_ || afresh_due_ || hashed_chunks_ == chunks_.size() ||
      chunks_[hashed_chunks_].state != ChunkState::kDone) {
    return std::nullopt;
  }
  hashing_ = true;
  return hashed_chunks_;
}

absl::Status BlobDownload::HashWhatIsIn(const std::stop_token& stop) {
  constexpr uint64_t kPieceBytes = 512 << 10;
  std::vector<std::byte> piece(std::min(kPieceBytes, task_.file.size_bytes));
  while (const std::optional<size_t> chunk = NextToHash()) {
    const ByteRange range = RangeOf(*chunk);
    absl::Status read;
    for (uint64_t at = range.begin; at < range.end && read.ok(); at += kPieceBytes) {
      if (stop.stop_requested()) return DownloadCancelled();
      const auto part = std::span(piece).first(std::min(kPieceBytes, range.end - at));
      read = file_.ReadAt(at, part);
      digest_.Update(part);
    }
    const MutexLock lock(mutex_);
    hashing_ = false;
    ++hashed_chunks_;
    RETURN_IF_ERROR(read);
  }
  return absl::OkStatus();
}

absl::Status BlobDownload::Leave(size_t chunk, ChunkState state) {
  const MutexLock lock(mutex_);
  if (state == ChunkState::kWaiting && whole_ && chunks_[chunk].state == ChunkState::kFetching) {
    for (Chunk& one : chunks_) {
      if (one.state == ChunkState::kFetching) one.state = ChunkState::kWaiting;
    }
  }
  chunks_[chunk].state = state;
  --in_flight_;
  if (!afresh_due_ || in_flight_ > 0) return absl::OkStatus();
  return StartAfresh();
}

absl::Status BlobDownload::AnotherFile(const absl::Status& why) {
  const MutexLock lock(mutex_);
  if (afresh_due_) return absl::OkStatus();  // another connection saw it, too
  if (second_time_) return why;
  second_time_ = true;
  afresh_due_ = true;
  return absl::OkStatus();
}

void BlobDownload::ForgetReceived() {
  for (Chunk& chunk : chunks_) {
    if (chunk.received_bytes > 0) on_bytes_(-static_cast<int64_t>(chunk.received_bytes));
    chunk = {};
  }
}

absl::Status BlobDownload::StartAfresh() {
  ForgetReceived();
  afresh_due_ = false;
  hashed_chunks_ = 0;
  unsynced_bytes_ = 0;
  etag_ = {};
  direct_url_.clear();
  digest_ = BlobDigest(task_.file.hash(), task_.file.size_bytes);
  return journal_ ? journal_->Reset() : absl::OkStatus();
}

absl::StatusOr<bool> BlobDownload::FinishIfComplete(const std::stop_token& stop) {
  {
    const MutexLock lock(mutex_);
    if (finishing_ || in_flight_ > 0 || !AllDone()) return false;
    finishing_ = true;
  }
  RETURN_IF_ERROR(HashWhatIsIn(stop)) << Name();
  const std::string found = digest_.HexDigest();
  if (found != task_.file.hash()) {
    const MutexLock lock(mutex_);
    finishing_ = false;
    const bool second_time = std::exchange(second_time_, true);
    RETURN_IF_ERROR(StartAfresh());
    if (!second_time) return false;
    if (journal_) {
      RETURN_IF_ERROR(journal_->Remove());
    }
    RETURN_IF_ERROR(RemoveAll(file_.path()));
    return MakeError(Error::kValidationFailed,
                     StrCat(Name(), ": the bytes that came have the hash ", found, ", expected ",
                            task_.file.hash(), "; so they had when fetched before"),
                     "Try again later; if it stays so, tell the model's owner");
  }
  RETURN_IF_ERROR(file_.Sync()) << Name();
  RETURN_IF_ERROR(RenameDurably(file_.path(), task_.blob));
  const MutexLock lock(mutex_);
  if (journal_) {
    RETURN_IF_ERROR(journal_->Remove());
  }
  return true;
}

std::string BlobDownload::Name() const {
  return StrCat("file '", task_.file.path, "' of model '", task_.id.name, "'");
}

}  // namespace quantized
