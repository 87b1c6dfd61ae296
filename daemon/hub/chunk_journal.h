// Which chunks of a download are in its file, so that one that was killed goes on. Text, a line
// each:
//     llm-quantize-download 1 HASH SIZE CHUNK_BYTES BOOT
//     part INDEX BYTES     the chunk's first BYTES bytes are written to the file
//     chunk INDEX          all of it is
//     synced COUNT         the first COUNT chunk lines are on the disk for good
// A killed process loses nothing that it wrote; a machine that stopped may. So of another boot
// (/proc/sys/kernel/random/boot_id) the chunks count that were synced. A line that is cut short
// or unreadable ends the reading. Whatever the journal says, the whole file's hash decides in the
// end.
// For one thread at a time.
#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/base/file.h"

namespace quantized {

class ChunkJournal {
 public:
  // What the journal belongs to; another one's is as good as none.
  struct Key {
    std::string hash;
    uint64_t size_bytes = 0;
    uint64_t chunk_bytes = 0;

    size_t chunk_count() const { return (size_bytes + chunk_bytes - 1) / chunk_bytes; }
    uint64_t BytesOf(size_t chunk) const {
      return std::min(chunk_bytes, size_bytes - chunk * chunk_bytes);
    }
  };

  // Opens or makes the journal at `path`. Errors: kIo, kDiskFull.
  static absl::StatusOr<ChunkJournal> Open(const std::filesystem::path& path, const Key& key);

  // What Open finds in a file with that text, at the boot `boot`; nothing can be added to it. Never
  // fails.
  static ChunkJournal Read(std::string_view text, const Key& key, std::string boot);

  // The received_bytes() that Open would find. Writes nothing.
  static uint64_t PeekBytes(const std::filesystem::path& path, const Key& key);

  // Those that are in as a whole, in the order in which they were added; each once.
  const std::vector<size_t>& chunks() const { return chunks_; }
  // Of others, the bytes from their beginning on.
  const std::map<size_t, uint64_t>& parts() const { return parts_; }
  // Of chunks and parts.
  uint64_t received_bytes() const;

  absl::Status Add(size_t chunk);
  absl::Status AddPart(size_t chunk, uint64_t bytes);
  // The first `count` of chunks() are on the disk.
  absl::Status Synced(size_t count);
  // Forgets everything.
  absl::Status Reset();
  absl::Status Remove();

 private:
  ChunkJournal(Key key, std::string boot) : key_(std::move(key)), boot_(std::move(boot)) {}
  std::string FirstLine(std::string_view boot) const;
  void ReadLines(std::string_view text);
  // Writes all that is known afresh, as of this boot, in place of the file: a process that is
  // killed meanwhile leaves the old one.
  absl::Status Rewrite();
  absl::Status Append(const std::string& line);

  std::filesystem::path path_;
  File file_;
  Key key_;
  std::string boot_;
  uint64_t end_ = 0;
  std::vector<size_t> chunks_;
  std::map<size_t, uint64_t> parts_;
  size_t synced_ = 0;
};

}  // namespace quantized
