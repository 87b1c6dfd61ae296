// A model repository as the Hub would keep it, for tests: files with the names of their bytes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>

namespace quantized::testing {

struct HubFile {
  std::string bytes;           // its contents, or
  std::filesystem::path path;  // where they are
  bool lfs = false;
  // Filled by AddFile.
  uint64_t size_bytes = 0;
  std::string blob_id, sha256;

  const std::string& hash() const { return lfs ? sha256 : blob_id; }
};

struct HubRepository {
  std::string name;  // "org/name"
  std::string revision = "main";
  bool gated = false;  // README.md is open to everybody
  bool is_private = false;
  std::map<std::string, HubFile> files;

  // Large files, and all weights, are kept by LFS.
  void AddFile(const std::string& path, std::string bytes);
  void AddFileOnDisk(const std::string& path, const std::filesystem::path& on_disk);
  // All files below `folder`.
  void AddFolder(const std::filesystem::path& folder);

  std::string Commit() const;  // of the names and hashes
};

// git's name of a blob.
std::string GitBlobId(std::string_view bytes);

}  // namespace quantized::testing
