#include "core/base/temp_folder.h"

#include <stdlib.h>

#include <cerrno>
#include <string>
#include <system_error>

#include "core/base/error.h"

namespace quantized {

absl::StatusOr<std::unique_ptr<TempFolder>> TempFolder::Create(std::string_view purpose) {
  std::error_code error;
  const std::filesystem::path parent = std::filesystem::temp_directory_path(error);
  std::string name = ((error ? "/tmp" : parent) / std::string(purpose)).string() + "-XXXXXX";
  if (::mkdtemp(name.data()) == nullptr) return ErrnoError(errno, "create", name);
  return std::unique_ptr<TempFolder>(new TempFolder(name));
}

TempFolder::~TempFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace quantized
