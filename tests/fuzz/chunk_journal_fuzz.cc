// Fuzz target: the journal of a download. Whatever is in its file, chunks are those of the download
// and each once, parts are less than their chunks and of others, and another boot has no more.
#include <algorithm>
#include <cstdint>
#include <set>
#include <string>
#include <string_view>

#include "core/base/check.h"
#include "daemon/hub/chunk_journal.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace quantized;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const ChunkJournal::Key key = {.hash = "abc", .size_bytes = 95, .chunk_bytes = 10};
  const ChunkJournal journal = ChunkJournal::Read(text, key, "this");
  std::set<size_t> whole;
  for (const size_t chunk : journal.chunks()) {
    CHECK(chunk < key.chunk_count() && whole.insert(chunk).second);
  }
  for (const auto& [chunk, bytes] : journal.parts()) {
    CHECK(chunk < key.chunk_count() && !whole.contains(chunk) && bytes < key.BytesOf(chunk));
  }
  CHECK(journal.received_bytes() <= key.size_bytes);

  const ChunkJournal later = ChunkJournal::Read(text, key, "the next");
  CHECK(later.received_bytes() <= key.size_bytes);
  const bool is_of_this = text.starts_with("llm-quantize-download 1 abc 95 10 this\n");
  if (!is_of_this) return 0;
  CHECK(later.parts().empty() && later.chunks().size() <= journal.chunks().size());
  CHECK(std::equal(later.chunks().begin(), later.chunks().end(), journal.chunks().begin()));
  return 0;
}
