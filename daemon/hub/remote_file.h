// What the Hub says of one file of a repository.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace quantized {

struct RemoteFile {
  std::string path;  // relative, with '/'
  uint64_t size_bytes = 0;
  std::string blob_id;  // git's SHA-1 of the file, or of its LFS pointer: 40 hexadecimal digits
  std::string
      lfs_sha256;  // of the file, where it is kept by LFS: 64 hexadecimal digits; else empty

  // What names its bytes: the Hub's ETag of it, and its name in a cache.
  const std::string& hash() const { return lfs_sha256.empty() ? blob_id : lfs_sha256; }
  bool operator==(const RemoteFile&) const = default;
};

struct RepositoryInfo {
  std::string commit;
  std::vector<RemoteFile> files;  // in the server's order
};

// Whether `path` may become a path below a folder of ours: relative, printable UTF-8, and no part
// of it is empty, "." or "..".
bool IsSafeRemotePath(std::string_view path);

// Whether `text` has `digits` lower-case hexadecimal digits, and nothing else.
bool IsHex(std::string_view text, size_t digits);

}  // namespace quantized
