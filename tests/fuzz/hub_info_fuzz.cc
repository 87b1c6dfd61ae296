// Fuzz target: what the Hub says of a model. Whatever is accepted stays in its folder and is named
// by hashes; and the same text as an index chooses only files that the model has.
#include <cstdint>
#include <string>

#include "core/base/check.h"
#include "daemon/hub/hub_api.h"
#include "daemon/hub/model_files.h"

namespace {

using namespace quantized;

// As a path is read by the file system, not as IsSafeRemotePath reads it.
void CheckStaysInside(const std::string& path) {
  CHECK(!path.empty() && path.front() != '/' && path.find('\0') == std::string::npos);
  const std::string framed = "/" + path + "/";
  CHECK(framed.find("/../") == std::string::npos && framed.find("/./") == std::string::npos);
}

void CheckIsHex(const std::string& hash, size_t digits) {
  CHECK(hash.size() == digits && hash.find_first_not_of("0123456789abcdef") == std::string::npos);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  const auto info = ParseRepositoryInfo({.name = "org/name"}, text);
  if (!info.ok()) return 0;
  CheckIsHex(info->commit, 40);
  for (const RemoteFile& file : info->files) {
    CheckStaysInside(file.path);
    CheckIsHex(file.hash(), file.lfs_sha256.empty() ? 40 : 64);
  }
  for (const std::optional<std::string>& index :
       {std::optional<std::string>(), std::optional(text)}) {
    const auto chosen = ChooseModelFiles("org/name", info->files, index);
    if (!chosen.ok()) continue;
    CHECK(!chosen->weights.empty());
    for (const RemoteFile& file : chosen->descriptions) {
      CHECK(file.path.find('/') == std::string::npos);
    }
  }
  return 0;
}
