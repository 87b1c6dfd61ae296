#include "core/pipeline/replace_folder.h"

#include <fcntl.h>
#include <stdio.h>

#include <cerrno>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/status_macros.h"

namespace quantized {
namespace {

namespace fs = std::filesystem;

// Such as NFS, and those that FUSE serves.
bool CannotExchange(int error) {
  return error == EINVAL || error == ENOSYS || error == EOPNOTSUPP || error == EPERM;
}

absl::Status MoveAsideAndRename(const fs::path& part, const fs::path& path) {
  const fs::path replaced = ReplacedPath(part);
  RETURN_IF_ERROR(RemoveAll(replaced));
  RETURN_IF_ERROR(RenameDurably(path, replaced));
  absl::Status renamed = RenameDurably(part, path);
  if (!renamed.ok() && !Exists(path)) RenameDurably(replaced, path).IgnoreError();
  return renamed;
}

}  // namespace

fs::path ReplacedPath(const fs::path& part) { return part.string() + ".replaced"; }

int ExchangeByKernel(const char* a, const char* b) {
  return ::renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE);
}

absl::Status ReplaceFolder(const fs::path& part, const fs::path& path, ExchangeNames exchange) {
  if (!Exists(path)) {
    RETURN_IF_ERROR(RenameDurably(part, path));
  } else if (exchange(part.c_str(), path.c_str()) == 0) {
    RETURN_IF_ERROR(SyncDirectory(path.parent_path()));
    RETURN_IF_ERROR(RemoveAll(part));
  } else if (CannotExchange(errno)) {
    RETURN_IF_ERROR(MoveAsideAndRename(part, path));
  } else {
    return ErrnoError(errno, "replace", path.string());
  }
  // Of this one, or of an attempt that died in between.
  return RemoveAll(ReplacedPath(part));
}

}  // namespace quantized
