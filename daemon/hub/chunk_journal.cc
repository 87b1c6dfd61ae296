#include "daemon/hub/chunk_journal.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <set>
#include <span>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"

namespace quantized {
namespace {

constexpr uint64_t kMaxJournalBytes = 64 << 20;

std::string BootId() {
  // A file of /proc has no size that ReadFile could trust.
  const absl::StatusOr<File> file = File::OpenForRead("/proc/sys/kernel/random/boot_id");
  std::string id(36, '\0');
  if (!file.ok() || !file->ReadAt(0, std::as_writable_bytes(std::span(id))).ok()) return "unknown";
  return id;
}

std::string PartLine(size_t chunk, uint64_t bytes) {
  return StrCat("part ", chunk, " ", bytes, "\n");
}

struct Entry {
  std::string kind;
  uint64_t first = 0;
  std::optional<uint64_t> second;
};

std::optional<Entry> ReadEntry(std::string_view line) {
  const std::vector<std::string> words =
      absl::StrSplit(absl::string_view(line.data(), line.size()), ' ');
  Entry entry{.kind = words[0]};
  if (words.size() < 2 || words.size() > 3 || !absl::SimpleAtoi(words[1], &entry.first)) {
    return std::nullopt;
  }
  if (words.size() == 3 && !absl::SimpleAtoi(words[2], &entry.second.emplace())) {
    return std::nullopt;
  }
  return entry;
}

}  // namespace

ChunkJournal ChunkJournal::Read(std::string_view text, const Key& key, std::string boot) {
  ChunkJournal journal(key, std::move(boot));
  journal.ReadLines(text);
  return journal;
}

absl::StatusOr<ChunkJournal> ChunkJournal::Open(const std::filesystem::path& path, const Key& key) {
  const absl::StatusOr<std::string> text = ReadFile(path, kMaxJournalBytes);
  if (!text.ok() && ErrorOf(text.status()) == Error::kIo) return text.status();
  ChunkJournal journal = Read(text.ok() ? *text : "", key, BootId());
  journal.path_ = path;
  RETURN_IF_ERROR(journal.Rewrite());
  return journal;
}

uint64_t ChunkJournal::PeekBytes(const std::filesystem::path& path, const Key& key) {
  const absl::StatusOr<std::string> text = ReadFile(path, kMaxJournalBytes);
  return text.ok() ? Read(*text, key, BootId()).received_bytes() : 0;
}

uint64_t ChunkJournal::received_bytes() const {
  uint64_t received_bytes = 0;
  for (const size_t chunk : chunks_) received_bytes += key_.BytesOf(chunk);
  for (const auto& [chunk, bytes] : parts_) received_bytes += bytes;
  return received_bytes;
}

std::string ChunkJournal::FirstLine(std::string_view boot) const {
  return StrCat("llm-quantize-download 1 ", key_.hash, " ", key_.size_bytes, " ", key_.chunk_bytes,
                " ", boot, "\n");
}

void ChunkJournal::ReadLines(std::string_view text) {
  const size_t first_end = text.find('\n');
  if (first_end == std::string_view::npos) return;
  const std::string_view first_line = text.substr(0, first_end + 1);
  const bool same_boot = boot_ != "unknown" && first_line == FirstLine(boot_);
  const std::string any_boot = FirstLine("");
  if (!first_line.starts_with(std::string_view(any_boot).substr(0, any_boot.size() - 1))) return;
  text.remove_prefix(first_line.size());

  std::set<size_t> whole;
  for (size_t end; (end = text.find('\n')) != std::string_view::npos; text.remove_prefix(end + 1)) {
    const std::string_view line = text.substr(0, end);
    if (line.starts_with("etag ")) continue;  // another version's
    const std::optional<Entry> entry = ReadEntry(line);
    if (!entry) break;
    const auto& [kind, first, second] = *entry;
    const bool of_missing = first < key_.chunk_count() && !whole.contains(first);
    if (kind == "chunk" && !second && of_missing) {
      whole.insert(first);
      chunks_.push_back(first);
      parts_.erase(first);
    } else if (kind == "part" && second && of_missing && *second < key_.BytesOf(first)) {
      parts_[first] = *second;
    } else if (kind == "synced" && !second && first <= chunks_.size()) {
      synced_ = first;
    } else {
      break;
    }
  }
  if (same_boot) return;
  chunks_.resize(synced_);
  parts_.clear();
}

absl::Status ChunkJournal::Rewrite() {
  std::string text = FirstLine(boot_);
  for (const size_t chunk : chunks_) StrAppend(&text, "chunk ", chunk, "\n");
  if (synced_ > 0) StrAppend(&text, "synced ", synced_, "\n");
  for (const auto& [chunk, bytes] : parts_) StrAppend(&text, PartLine(chunk, bytes));
  RETURN_IF_ERROR(WriteFileAtomically(path_, text));
  ASSIGN_OR_RETURN(file_, File::OpenForWrite(path_));
  end_ = text.size();
  return absl::OkStatus();
}

absl::Status ChunkJournal::Append(const std::string& line) {
  RETURN_IF_ERROR(file_.WriteAt(end_, std::as_bytes(std::span(line))));
  end_ += line.size();
  return absl::OkStatus();
}

absl::Status ChunkJournal::Add(size_t chunk) {
  chunks_.push_back(chunk);
  parts_.erase(chunk);
  return Append(StrCat("chunk ", chunk, "\n"));
}

absl::Status ChunkJournal::AddPart(size_t chunk, uint64_t bytes) {
  parts_[chunk] = bytes;
  return Append(PartLine(chunk, bytes));
}

absl::Status ChunkJournal::Synced(size_t count) {
  synced_ = count;
  RETURN_IF_ERROR(Append(StrCat("synced ", count, "\n")));
  return file_.Sync();
}

absl::Status ChunkJournal::Reset() {
  chunks_.clear();
  parts_.clear();
  synced_ = 0;
  return Rewrite();
}

absl::Status ChunkJournal::Remove() {
  if (::unlink(path_.c_str()) != 0 && errno != ENOENT) {
    return ErrnoError(errno, "remove", path_.string());
  }
  return absl::OkStatus();
}

}  // namespace quantized
