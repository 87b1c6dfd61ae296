#include "daemon/hub/chunk_journal.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <set>
#include <span>
#include <utility>

#include "absl/strings/numbers.h"
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

}  // namespace

absl::StatusOr<ChunkJournal> ChunkJournal::Open(const std::filesystem::path& path, const Key& key) {
  ChunkJournal journal(path, key, BootId());
  const absl::StatusOr<std::string> text = ReadFile(path, kMaxJournalBytes);
  if (text.ok()) {
    journal.Read(*text);
  } else if (ErrorOf(text.status()) == Error::kIo) {
    return text.status();
  }
  RETURN_IF_ERROR(journal.Rewrite());
  return journal;
}

std::vector<size_t> ChunkJournal::Peek(const std::filesystem::path& path, const Key& key) {
  ChunkJournal journal(path, key, BootId());
  const absl::StatusOr<std::string> text = ReadFile(path, kMaxJournalBytes);
  if (text.ok()) journal.Read(*text);
  return std::move(journal.chunks_);
}

std::string ChunkJournal::FirstLine(std::string_view boot) const {
  return StrCat("llm-quantize-download 1 ", key_.hash, " ", key_.size_bytes, " ", key_.chunk_bytes,
                " ", boot, "\n");
}

void ChunkJournal::Read(std::string_view text) {
  const size_t first_end = text.find('\n');
  if (first_end == std::string_view::npos) return;
  const std::string_view first = text.substr(0, first_end + 1);
  const bool same_boot = boot_ != "unknown" && first == FirstLine(boot_);
  const std::string any_boot = FirstLine("");
  if (!first.starts_with(std::string_view(any_boot).substr(0, any_boot.size() - 1))) return;
  text.remove_prefix(first.size());

  const uint64_t chunk_count = (key_.size_bytes + key_.chunk_bytes - 1) / key_.chunk_bytes;
  std::set<size_t> seen;
  for (size_t end; (end = text.find('\n')) != std::string_view::npos; text.remove_prefix(end + 1)) {
    const std::string_view line = text.substr(0, end);
    const auto number = [&](std::string_view word, size_t* value) {
      const std::string_view digits = line.substr(std::min(word.size(), line.size()));
      return line.starts_with(word) && absl::SimpleAtoi({digits.data(), digits.size()}, value);
    };
    size_t value = 0;
    if (number("chunk ", &value) && value < chunk_count && seen.insert(value).second) {
      chunks_.push_back(value);
    } else if (number("synced ", &value) && value <= chunks_.size()) {
      synced_ = value;
    } else if (!line.starts_with("etag ")) {  // another version's
      break;
    }
  }
  if (!same_boot) chunks_.resize(synced_);
}

absl::Status ChunkJournal::Rewrite() {
  std::string text = FirstLine(boot_);
  for (const size_t chunk : chunks_) StrAppend(&text, "chunk ", chunk, "\n");
  if (synced_ > 0) StrAppend(&text, "synced ", synced_, "\n");
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
  return Append(StrCat("chunk ", chunk, "\n"));
}

absl::Status ChunkJournal::Synced(size_t count) {
  synced_ = count;
  RETURN_IF_ERROR(Append(StrCat("synced ", count, "\n")));
  return file_.Sync();
}

absl::Status ChunkJournal::Reset() {
  chunks_.clear();
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
