#include "core/pipeline/checkpoint.h"

#include <chrono>
#include <nlohmann/json.hpp>
#include <system_error>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/base/version.h"

namespace quantized {
namespace {

namespace fs = std::filesystem;

constexpr char kJobFile[] = "job.json";
constexpr char kJournalFile[] = "journal";
constexpr uint64_t kMaxJobFileBytes = 1 << 20;
constexpr uint64_t kMaxJournalBytes = 256 << 20;  // two million units
constexpr auto kSyncInterval = std::chrono::seconds(1);
constexpr uint64_t kSyncBytes = 64 << 20;

constexpr char kStartAnew[] = "Remove the checkpoint folder to start anew";

struct JobFile {
  CheckpointOwner owner;
  bool made_directory = false;  // the folder around the checkpoint was made for it
};

std::string Encode(const JobFile& job) {
  return nlohmann::json({{"fingerprint", job.owner.fingerprint},
                         {"model", job.owner.model},
                         {"level", job.owner.level},
                         {"output_path", job.owner.output_path},
                         {"tool_version", std::string(kVersion)},
                         {"made_directory", job.made_directory}})
             .dump(1, ' ', false, nlohmann::json::error_handler_t::replace) +
         "\n";
}

// Errors: kCheckpoint.
absl::StatusOr<JobFile> ReadJobFile(const fs::path& folder) {
  const fs::path path = folder / kJobFile;
  const absl::StatusOr<std::string> text = ReadFile(path, kMaxJobFileBytes);
  if (!text.ok()) {
    return MakeError(Error::kCheckpoint, std::string(text.status().message()), kStartAnew);
  }
  const auto json = nlohmann::json::parse(*text, nullptr, false);
  JobFile job;
  const auto read = [&json](const char* key, std::string& out) {
    const auto found = json.is_object() ? json.find(key) : json.end();
    if (!json.is_object() || found == json.end() || !found->is_string()) return false;
    out = found->get<std::string>();
    return true;
  };
  if (!read("fingerprint", job.owner.fingerprint) || !read("model", job.owner.model) ||
      !read("level", job.owner.level) || !read("output_path", job.owner.output_path)) {
    return MakeError(Error::kCheckpoint, StrCat(path.string(), ": is damaged"), kStartAnew);
  }
  const auto made = json.find("made_directory");
  job.made_directory = made != json.end() && made->is_boolean() && made->get<bool>();
  return job;
}

// Whether the folder around `folder` is there for checkpoints only: all that is in it are
// checkpoints that it was made for (of other levels of a job, of other jobs), and `folder` itself,
// should a crash have left it there before it got its job.json.
bool WasMadeForCheckpoints(const fs::path& folder) {
  std::error_code error;
  bool empty = true;
  for (fs::directory_iterator entry(folder.parent_path(), error), end; !error && entry != end;
       entry.increment(error)) {
    empty = false;
    if (entry->path() == folder) continue;
    const absl::StatusOr<JobFile> job = ReadJobFile(entry->path());
    if (!job.ok() || !job->made_directory) return false;
  }
  return !error && !empty;
}

std::string Describe(const CheckpointOwner& owner) {
  return StrCat(owner.model, " at ", owner.level, " into ", owner.output_path, " (fingerprint ",
                owner.fingerprint.substr(0, 12), ")");
}

absl::Status BelongsToAnother(const fs::path& folder, const CheckpointOwner& found,
                              const CheckpointOwner& wanted) {
  return MakeError(Error::kCheckpoint,
                   StrCat("the checkpoint ", folder.string(), " belongs to ", Describe(found),
                          ", not to ", Describe(wanted)),
                   "Resume with the same model, level, output path and version of llm-quantize, "
                   "or leave out --resume to start anew");
}

}  // namespace

absl::StatusOr<fs::path> LocateCheckpoint(const CheckpointOptions& options,
                                          const CheckpointOwner& owner) {
  if (options.resume_from.empty()) return options.directory / owner.fingerprint;
  const fs::path& given = options.resume_from;
  if (Exists(given / kJobFile)) {
    ASSIGN_OR_RETURN(const JobFile job, ReadJobFile(given));
    if (job.owner.fingerprint != owner.fingerprint) {
      return BelongsToAnother(given, job.owner, owner);
    }
    return given;
  }
  if (Exists(given / owner.fingerprint / kJobFile)) return given / owner.fingerprint;
  // If it holds just another job's checkpoint, say whose.
  std::error_code error;
  for (fs::directory_iterator entry(given, error), end; !error && entry != end;
       entry.increment(error)) {
    if (!Exists(entry->path() / kJobFile)) continue;
    ASSIGN_OR_RETURN(const JobFile job, ReadJobFile(entry->path()));
    return BelongsToAnother(entry->path(), job.owner, owner);
  }
  return MakeError(
      Error::kCheckpoint,
      StrCat(given.string(), ": holds no checkpoint, expected that of ", Describe(owner)),
      "Leave out --resume: a checkpoint that fits is used by itself");
}

absl::StatusOr<std::vector<CheckpointOptions>> OptionsOfEach(
    const CheckpointOptions& options, std::span<const CheckpointOwner> owners) {
  std::vector<CheckpointOptions> each(owners.size(), options);
  if (options.resume_from.empty() || owners.empty()) return each;
  const bool is_checkpoint = Exists(options.resume_from / kJobFile);
  absl::Status first_error;
  size_t found = 0;
  for (size_t i = 0; i < owners.size(); ++i) {
    const absl::Status located = LocateCheckpoint(options, owners[i]).status();
    first_error.Update(located);
    if (located.ok()) {
      ++found;
    } else {
      each[i].directory = is_checkpoint ? options.resume_from.parent_path() : options.resume_from;
      each[i].resume_from.clear();
    }
  }
  if (found == 0) return first_error;
  return each;
}

absl::StatusOr<std::optional<JournalContents>> LoadCheckpoint(const fs::path& folder,
                                                              const CheckpointOwner& owner) {
  // A crash may leave the folder, or the folder and job.json: nothing was noted yet.
  if (!Exists(folder / kJobFile) && !Exists(folder / kJournalFile)) return std::nullopt;
  ASSIGN_OR_RETURN(const JobFile job, ReadJobFile(folder));
  if (job.owner.fingerprint != owner.fingerprint) {
    return BelongsToAnother(folder, job.owner, owner);
  }
  if (!Exists(folder / kJournalFile)) return std::nullopt;
  ASSIGN_OR_RETURN(const std::string text, ReadFile(folder / kJournalFile, kMaxJournalBytes));
  absl::StatusOr<JournalContents> contents = ParseJournal(text, owner.fingerprint);
  if (!contents.ok()) {
    return MakeError(
        Error::kCheckpoint,
        StrCat("the checkpoint ", folder.string(), " is damaged: ", contents.status().message()),
        kStartAnew);
  }
  return *std::move(contents);
}

void RemoveStaleCheckpoints(const fs::path& folder, const CheckpointOwner& owner) {
  std::vector<fs::path> stale;
  std::error_code error;
  for (fs::directory_iterator entry(folder.parent_path(), error), end; !error && entry != end;
       entry.increment(error)) {
    if (!Exists(entry->path() / kJobFile)) continue;
    const absl::StatusOr<JobFile> job = ReadJobFile(entry->path());
    if (job.ok() && job->owner.output_path == owner.output_path &&
        job->owner.fingerprint != owner.fingerprint) {
      stale.push_back(entry->path());
    }
  }
  // One that cannot be removed harms nothing: resumed, its units do not match.
  for (const fs::path& path : stale) RemoveCheckpoint(path).IgnoreError();
}

absl::Status RemoveCheckpoint(const fs::path& folder) {
  const absl::StatusOr<JobFile> job = ReadJobFile(folder);
  // First the journal: a crash after that leaves a checkpoint of nothing, not a damaged one.
  RETURN_IF_ERROR(RemoveAll(folder / kJournalFile));
  RETURN_IF_ERROR(RemoveAll(folder));
  std::error_code ignored;
  if (job.ok() && job->made_directory) fs::remove(folder.parent_path(), ignored);
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Checkpoint>> Checkpoint::Start(const fs::path& folder,
                                                              const CheckpointOwner& owner,
                                                              std::span<const UnitRecord> units,
                                                              std::span<File> parts,
                                                              OnSynced on_synced) {
  if (!Exists(folder / kJobFile)) {
    const JobFile job{owner, !Exists(folder.parent_path()) || WasMadeForCheckpoints(folder)};
    // A job that ends may remove the folder around its own checkpoint just before ours is in it.
    absl::Status created = CreateDirectories(folder);
    if (!created.ok()) created = CreateDirectories(folder);
    RETURN_IF_ERROR(created);
    RETURN_IF_ERROR(WriteFileAtomically(folder / kJobFile, Encode(job)));
    RETURN_IF_ERROR(SyncDirectory(folder.parent_path()));
  }
  // The new journal promises its units, so they must be on disk first.
  if (!units.empty()) {
    for (File& part : parts) RETURN_IF_ERROR(part.Sync());
  }
  const std::string text = CompleteJournal(owner.fingerprint, units);
  RETURN_IF_ERROR(WriteFileAtomically(folder / kJournalFile, text));
  ASSIGN_OR_RETURN(File journal, File::OpenForWrite(folder / kJournalFile));
  return std::unique_ptr<Checkpoint>(new Checkpoint(std::move(journal), text.size(),
                                                    owner.fingerprint, units.size(), parts,
                                                    std::move(on_synced)));
}

Checkpoint::Checkpoint(File journal, uint64_t journal_bytes, std::string fingerprint, size_t units,
                       std::span<File> parts, OnSynced on_synced)
    : fingerprint_(std::move(fingerprint)),
      parts_(parts),
      on_synced_(std::move(on_synced)),
      journal_(std::move(journal)),
      journal_bytes_(journal_bytes),
      units_(units),
      synced_units_(units),
      thread_([this] { SyncEachSecond(); }) {}

Checkpoint::~Checkpoint() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
  }
  changed_.NotifyAll();
  thread_.join();
}

absl::Status Checkpoint::WriteLine(const std::string& line) {
  RETURN_IF_ERROR(journal_.WriteAt(journal_bytes_, std::as_bytes(std::span(line))));
  journal_bytes_ += line.size();
  return absl::OkStatus();
}

absl::Status Checkpoint::Append(const UnitRecord& unit) {
  MutexLock lock(mutex_);
  RETURN_IF_ERROR(status_);
  RETURN_IF_ERROR(WriteLine(JournalUnit(fingerprint_, unit)));
  ++units_;
  unsynced_bytes_ += unit.size_bytes;
  changed_.NotifyAll();
  return absl::OkStatus();
}

absl::Status Checkpoint::Sync() {
  MutexLock one_at_a_time(sync_mutex_);
  size_t units;
  {
    MutexLock lock(mutex_);
    RETURN_IF_ERROR(status_);
    if (synced_units_ == units_) return absl::OkStatus();
    units = units_;
    unsynced_bytes_ = 0;
  }
  // Units noted from here on are not in the mark: their bytes may come after this sync.
  for (File& part : parts_) RETURN_IF_ERROR(part.Sync());
  {
    MutexLock lock(mutex_);
    RETURN_IF_ERROR(WriteLine(JournalSyncedMark(fingerprint_, units)));
  }
  RETURN_IF_ERROR(journal_.Sync());
  {
    MutexLock lock(mutex_);
    synced_units_ = units;
  }
  on_synced_(units);
  return absl::OkStatus();
}

void Checkpoint::SyncEachSecond() {
  while (true) {
    {
      MutexLock lock(mutex_);
      while (!stopping_ && units_ == synced_units_) changed_.Wait(mutex_);
      const auto due = std::chrono::steady_clock::now() + kSyncInterval;
      while (!stopping_ && unsynced_bytes_ < kSyncBytes && changed_.WaitUntil(mutex_, due)) {
      }
      if (stopping_ || !status_.ok()) return;
    }
    if (absl::Status status = Sync(); !status.ok()) {
      MutexLock lock(mutex_);
      status_ = std::move(status);
    }
  }
}

}  // namespace quantized
