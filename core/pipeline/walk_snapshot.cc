#include "core/pipeline/walk_snapshot.h"

#include <xxhash.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <span>
#include <system_error>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/pipeline/part_file.h"

namespace quantized {
namespace {

constexpr std::array<char, 8> kMagic = {'Q', 'N', 'T', 'W', 'A', 'L', 'K', '1'};
constexpr uint64_t kRowsAtOnce = 512;

struct Header {
  std::array<char, 8> magic = kMagic;
  uint64_t layers_done = 0;
  uint64_t rows = 0, width = 0;
  uint64_t learned_bytes = 0;

  friend bool operator==(const Header&, const Header&) = default;
};

// A file that is written or read from its beginning, with the hash of what went by.
class HashedFile {
 public:
  explicit HashedFile(File file) : file_(std::move(file)), state_(XXH3_createState()) {
    XXH3_64bits_reset(state_.get());
  }

  absl::Status Write(std::span<const std::byte> bytes) {
    RETURN_IF_ERROR(file_.WriteAt(position_, bytes));
    Pass(bytes);
    return absl::OkStatus();
  }
  absl::Status Read(std::span<std::byte> bytes) {
    RETURN_IF_ERROR(file_.ReadAt(position_, bytes));
    Pass(bytes);
    return absl::OkStatus();
  }
  uint64_t hash() const { return XXH3_64bits_digest(state_.get()); }
  File& file() { return file_; }

 private:
  struct Free {
    void operator()(XXH3_state_t* state) const { XXH3_freeState(state); }
  };
  void Pass(std::span<const std::byte> bytes) {
    XXH3_64bits_update(state_.get(), bytes.data(), bytes.size());
    position_ += bytes.size();
  }

  File file_;
  std::unique_ptr<XXH3_state_t, Free> state_;
  uint64_t position_ = 0;
};

template <typename T>
std::span<std::byte> BytesOf(T& value) {
  return std::as_writable_bytes(std::span(&value, 1));
}

// Calls each(first row, count) over all rows.
template <class Each>
absl::Status InPieces(const ActivationStore& hidden, const Each& each) {
  for (uint64_t first = 0; first < hidden.rows(); first += kRowsAtOnce) {
    RETURN_IF_ERROR(each(first, std::min(kRowsAtOnce, hidden.rows() - first)));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status SaveWalk(const std::filesystem::path& path, const SavedWalk& walk,
                      const ActivationStore& hidden) {
  const std::filesystem::path unfinished = StrCat(path.string(), ".tmp");
  RETURN_IF_ERROR(RemoveAll(unfinished));
  ASSIGN_OR_RETURN(File created, File::CreateExclusive(unfinished));
  HashedFile out(std::move(created));
  const auto write = [&]() -> absl::Status {
    Header header = {.layers_done = walk.layers_done,
                     .rows = hidden.rows(),
                     .width = hidden.width(),
                     .learned_bytes = walk.learned.size()};
    RETURN_IF_ERROR(out.Write(BytesOf(header)));
    std::vector<float> rows(std::min(kRowsAtOnce, hidden.rows()) * hidden.width());
    const auto write_rows = [&](uint64_t first, uint64_t count) -> absl::Status {
      RETURN_IF_ERROR(hidden.Read(first, count, rows.data()));
      return out.Write(std::as_bytes(std::span(rows).first(count * hidden.width())));
    };
    RETURN_IF_ERROR(InPieces(hidden, write_rows));
    RETURN_IF_ERROR(out.Write(std::as_bytes(std::span(walk.learned))));
    uint64_t hash = out.hash();
    RETURN_IF_ERROR(out.Write(BytesOf(hash)));
    RETURN_IF_ERROR(out.file().Sync());
    return RenameDurably(unfinished, path);
  };
  absl::Status status = write();
  if (!status.ok()) RemoveAll(unfinished).IgnoreError();
  return status;
}

DiskNeeds SavedWalkNeeds(const std::filesystem::path& path, uint64_t rows, uint64_t width) {
  const uint64_t bytes = sizeof(Header) + rows * width * sizeof(float) + sizeof(uint64_t);
  DiskNeeds needs;
  needs.Add(path.parent_path(), bytes + MissingBytes(path, bytes));
  return needs;
}

absl::StatusOr<std::optional<SavedWalk>> LoadWalk(const std::filesystem::path& path,
                                                  uint64_t most_layers, ActivationStore& hidden) {
  std::error_code error;
  const uint64_t file_bytes = std::filesystem::file_size(path, error);
  const uint64_t value_bytes = hidden.rows() * hidden.width() * sizeof(float);
  const uint64_t least_bytes = sizeof(Header) + value_bytes + sizeof(uint64_t);
  if (error || file_bytes < least_bytes) return std::nullopt;

  std::vector<float> rows(std::min(kRowsAtOnce, hidden.rows()) * hidden.width());
  SavedWalk walk;
  // Reads all of it; true where it is whole.
  const auto read = [&](const auto& take_rows) -> absl::StatusOr<bool> {
    ASSIGN_OR_RETURN(File file, File::OpenForRead(path));
    HashedFile in(std::move(file));
    Header header;
    RETURN_IF_ERROR(in.Read(BytesOf(header)));
    const Header expected = {.layers_done = header.layers_done,
                             .rows = hidden.rows(),
                             .width = hidden.width(),
                             .learned_bytes = file_bytes - least_bytes};
    if (header != expected || header.layers_done > most_layers) return false;
    const auto read_rows = [&](uint64_t first, uint64_t count) -> absl::Status {
      const std::span<float> values = std::span(rows).first(count * hidden.width());
      RETURN_IF_ERROR(in.Read(std::as_writable_bytes(values)));
      return take_rows(first, count);
    };
    RETURN_IF_ERROR(InPieces(hidden, read_rows));
    walk.layers_done = static_cast<uint32_t>(header.layers_done);
    walk.learned.resize(header.learned_bytes);
    RETURN_IF_ERROR(in.Read(std::as_writable_bytes(std::span(walk.learned))));
    const uint64_t hash = in.hash();
    uint64_t stored = 0;
    RETURN_IF_ERROR(in.Read(BytesOf(stored)));
    return stored == hash;
  };
  ASSIGN_OR_RETURN(const bool is_whole, read([](uint64_t, uint64_t) { return absl::OkStatus(); }));
  if (!is_whole) return std::nullopt;
  RETURN_IF_ERROR(read([&](uint64_t first, uint64_t count) {
                    return hidden.Write(first, count, rows.data());
                  }).status());
  return walk;
}

}  // namespace quantized
