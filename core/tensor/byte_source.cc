#include "core/tensor/byte_source.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"

namespace quantized {
namespace {

class FileSource : public ByteSource {
 public:
  FileSource(File file, uint64_t size_bytes)
      : file_(std::move(file)), name_(file_.path().filename().string()), size_bytes_(size_bytes) {}

  const std::string& name() const override { return name_; }
  uint64_t size_bytes() const override { return size_bytes_; }
  absl::Status ReadAt(uint64_t offset, std::span<std::byte> out) const override {
    return file_.ReadAt(offset, out);
  }

 private:
  const File file_;
  const std::string name_;
  const uint64_t size_bytes_;
};

class MemorySource : public ByteSource {
 public:
  MemorySource(std::string_view name, std::span<const std::byte> bytes)
      : name_(name), bytes_(bytes) {}

  const std::string& name() const override { return name_; }
  uint64_t size_bytes() const override { return bytes_.size(); }
  absl::Status ReadAt(uint64_t offset, std::span<std::byte> out) const override {
    if (offset > bytes_.size() || out.size() > bytes_.size() - offset) {
      return MakeError(Error::kValidationFailed,
                       StrCat(name_, ": ends at byte ", bytes_.size(), ", needed ", out.size(),
                              " bytes from byte ", offset));
    }
    if (!out.empty()) std::memcpy(out.data(), bytes_.data() + offset, out.size());
    return absl::OkStatus();
  }

 private:
  const std::string name_;
  const std::span<const std::byte> bytes_;
};

// The first line of a pointer file (git-lfs specification, version 1).
constexpr std::string_view kGitLfsFirstLine = "version https://git-lfs.github.com/spec/v1\n";

}  // namespace

absl::StatusOr<std::unique_ptr<ByteSource>> OpenFileBytes(const std::filesystem::path& path) {
  // Before opening: the open of a named pipe waits for a writer.
  std::error_code ignored;
  const auto status = std::filesystem::status(path, ignored);
  if (std::filesystem::exists(status) && !std::filesystem::is_regular_file(status)) {
    return MakeError(Error::kIo, StrCat(path.string(), ": not a regular file"));
  }
  ASSIGN_OR_RETURN(File file, File::OpenForRead(path));
  ASSIGN_OR_RETURN(const uint64_t size_bytes, file.SizeBytes());
  return std::make_unique<FileSource>(std::move(file), size_bytes);
}

std::unique_ptr<ByteSource> MemoryBytes(std::string_view name, std::span<const std::byte> bytes) {
  return std::make_unique<MemorySource>(name, bytes);
}

absl::StatusOr<bool> IsGitLfsPointer(const ByteSource& source) {
  std::array<char, kGitLfsFirstLine.size()> start;
  if (source.size_bytes() < start.size()) return false;
  RETURN_IF_ERROR(source.ReadAt(0, std::as_writable_bytes(std::span(start))));
  return std::string_view(start.data(), start.size()) == kGitLfsFirstLine;
}

absl::Status GitLfsPointerError(const ByteSource& source, std::string_view wanted) {
  return MakeError(
      Error::kValidationFailed,
      StrCat(source.name(), ": git-lfs pointer instead of ", wanted, ": run git lfs pull"),
      "Run `git lfs pull` in the model's folder, then try again");
}

absl::Status HashBytes(const ByteSource& source, uint64_t offset, uint64_t size_bytes,
                       Sha256& hash) {
  constexpr uint64_t kChunkBytes = 1 << 18;
  std::vector<std::byte> chunk(std::min(size_bytes, kChunkBytes));
  while (size_bytes > 0) {
    const auto part = std::span(chunk).first(std::min<uint64_t>(size_bytes, chunk.size()));
    RETURN_IF_ERROR(source.ReadAt(offset, part));
    hash.Update(part);
    offset += part.size();
    size_bytes -= part.size();
  }
  return absl::OkStatus();
}

}  // namespace quantized
