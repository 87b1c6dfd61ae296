#include "daemon/hub/cached_model.h"

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <vector>

#include "core/base/file.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"

namespace quantized {
namespace {

namespace fs = std::filesystem;

constexpr size_t kShown = 3;

// A snapshot links to blobs, which are named after their bytes.
void TakeHash(const fs::path& link, RemoteFile& file) {
  std::error_code error;
  const std::string name = fs::read_symlink(link, error).filename();
  if (IsHex(name, 64)) file.lfs_sha256 = name;
  if (IsHex(name, 40)) file.blob_id = name;
}

// The files at the top of a snapshot, as far as they themselves tell.
std::vector<RemoteFile> FilesIn(const fs::path& snapshot) {
  std::vector<RemoteFile> files;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(snapshot, error)) {
    std::error_code broken;
    const uint64_t size_bytes = fs::file_size(entry.path(), broken);
    if (broken) continue;
    files.push_back({.path = entry.path().filename(), .size_bytes = size_bytes});
    TakeHash(entry.path(), files.back());
  }
  std::ranges::sort(files, {}, &RemoteFile::path);
  return files;
}

std::string MissingOf(const HubCache& cache, const HubId& id, std::string_view commit,
                      const ModelFiles& chosen) {
  std::vector<std::string> missing;
  for (const auto* files : {&chosen.weights, &chosen.descriptions}) {
    for (const RemoteFile& file : *files) {
      if (!cache.HasFile(id, commit, file)) missing.push_back(file.path);
    }
  }
  return missing.empty() ? "" : StrCat("missing ", FirstNames(missing, kShown));
}

}  // namespace

absl::StatusOr<CachedModel> FindCachedModel(const HubCache& cache, const HubId& id) {
  CachedModel cached;
  const std::optional<std::string> commit = cache.CommitOf(id);
  if (!commit) return cached;
  const fs::path snapshot = cache.SnapshotPath(id, *commit);
  std::error_code ignored;
  if (!fs::is_directory(snapshot, ignored)) return cached;
  cached.commit = *commit;

  const auto tree = cache.ReadTree(id, *commit);
  const std::vector<RemoteFile> files = tree ? *tree : FilesIn(snapshot);
  std::optional<std::string> index;
  if (const auto file = FindWeightIndex(files)) {
    absl::StatusOr<std::string> text = ReadFile(snapshot / file->path, kMaxIndexBytes);
    if (!text.ok()) {
      cached.missing = StrCat("missing ", file->path);
      return cached;
    }
    index = *std::move(text);
  }
  absl::StatusOr<ModelFiles> chosen = ChooseModelFiles(id.name, files, index);
  if (!chosen.ok()) {
    // Without the list, what is not there may only not have been fetched.
    if (tree) return chosen.status();
    cached.missing = std::string(chosen.status().message());
    return cached;
  }
  cached.missing = MissingOf(cache, id, *commit, *chosen);
  cached.chosen = *std::move(chosen);
  return cached;
}

}  // namespace quantized
