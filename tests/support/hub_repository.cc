#include "tests/support/hub_repository.h"

#include <algorithm>
#include <utility>

#include "core/base/check.h"
#include "core/base/digest.h"
#include "core/base/file.h"
#include "core/base/str_cat.h"

namespace quantized::testing {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kLfsFromBytes = 10 << 20;

bool IsKeptByLfs(const std::string& path, uint64_t size_bytes) {
  return size_bytes >= kLfsFromBytes || path.ends_with(".safetensors") || path.ends_with(".gguf") ||
         path.ends_with(".bin");
}

Digest GitDigest(uint64_t size_bytes) {
  Digest digest(DigestKind::kSha1);
  const std::string header = StrCat("blob ", size_bytes);
  digest.Update(std::string_view(header.c_str(), header.size() + 1));
  return digest;
}

// What git keeps of a file of LFS.
std::string Pointer(const HubFile& file) {
  return StrCat("version https://git-lfs.github.com/spec/v1\noid sha256:", file.sha256, "\nsize ",
                file.size_bytes, "\n");
}

}  // namespace

std::string GitBlobId(std::string_view bytes) {
  Digest digest = GitDigest(bytes.size());
  digest.Update(bytes);
  return digest.HexDigest();
}

void HubRepository::AddFile(const std::string& path, std::string bytes) {
  HubFile file{.lfs = IsKeptByLfs(path, bytes.size()), .size_bytes = bytes.size()};
  Digest sha256(DigestKind::kSha256);
  sha256.Update(bytes);
  file.sha256 = sha256.HexDigest();
  file.blob_id = GitBlobId(file.lfs ? Pointer(file) : bytes);
  file.bytes = std::move(bytes);
  files[path] = std::move(file);
}

void HubRepository::AddFileOnDisk(const std::string& path, const fs::path& on_disk) {
  constexpr size_t kPieceBytes = 1 << 20;
  const auto opened = File::OpenForRead(on_disk);
  CHECK(opened.ok());
  HubFile file{.path = on_disk, .size_bytes = fs::file_size(on_disk)};
  file.lfs = IsKeptByLfs(path, file.size_bytes);
  Digest sha256(DigestKind::kSha256), git = GitDigest(file.size_bytes);
  std::string piece(kPieceBytes, '\0');
  for (uint64_t at = 0; at < file.size_bytes; at += kPieceBytes) {
    piece.resize(std::min<uint64_t>(kPieceBytes, file.size_bytes - at));
    CHECK(opened->ReadAt(at, std::as_writable_bytes(std::span(piece))).ok());
    sha256.Update(piece);
    if (!file.lfs) git.Update(piece);
  }
  file.sha256 = sha256.HexDigest();
  file.blob_id = file.lfs ? GitBlobId(Pointer(file)) : git.HexDigest();
  files[path] = std::move(file);
}

void HubRepository::AddFolder(const fs::path& folder) {
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) {
      AddFileOnDisk(entry.path().lexically_relative(folder), entry.path());
    }
  }
}

std::string HubRepository::Commit() const {
  Digest digest(DigestKind::kSha1);
  digest.Update(name);
  for (const auto& [path, file] : files) digest.Update(StrCat(path, "\n", file.hash(), "\n"));
  return digest.HexDigest();
}

}  // namespace quantized::testing
