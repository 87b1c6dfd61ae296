// The hash that names a blob: SHA-256 of the bytes for a file that LFS keeps, else git's SHA-1 of
// "blob SIZE\0" and the bytes. Which of them is told by the length of the name.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/base/digest.h"
#include "core/base/str_cat.h"

namespace quantized {

inline Digest BlobDigest(std::string_view hash, uint64_t size_bytes) {
  if (hash.size() == 64) return Digest(DigestKind::kSha256);
  Digest digest(DigestKind::kSha1);
  const std::string header = StrCat("blob ", size_bytes);
  digest.Update(std::string_view(header.c_str(), header.size() + 1));  // with its NUL
  return digest;
}

}  // namespace quantized
