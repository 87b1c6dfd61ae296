#include "core/source/fingerprint.h"

#include <system_error>

#include "core/base/error.h"
#include "core/base/str_cat.h"

namespace quantized {

absl::Status FingerprintFile(const std::filesystem::path& path, const ByteSource& bytes,
                             uint64_t header_bytes, Sha256& hash) {
  std::error_code error;
  const auto changed = std::filesystem::last_write_time(path, error);
  if (error) return ErrnoError(error.value(), "read the time of", path.string());
  // The bytes before the header say where it ends and the next thing begins.
  hash.Update(StrCat("file ", bytes.size_bytes(), " ", changed.time_since_epoch().count(), " ",
                     header_bytes, "\n"));
  return HashBytes(bytes, 0, header_bytes, hash);
}

}  // namespace quantized
