#include "core/pipeline/file_list.h"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <system_error>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/sha256.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/pipeline/for_each.h"

namespace quantized {
namespace {

namespace fs = std::filesystem;

constexpr size_t kReadBytes = 4 << 20;
constexpr size_t kShownDigits = 12;  // of a hash, in a message

absl::Status Differs(std::string_view what) { return MakeError(Error::kValidationFailed, what); }

// Nothing where `json` is not what FileListToJson gives of some files.
std::optional<FileList> FileListFromJson(const nlohmann::json& json) {
  if (!json.is_object() || json.empty()) return std::nullopt;
  FileList list;
  for (const auto& entry : json.items()) {
    const nlohmann::json& file = entry.value();
    const bool sound = file.is_object() && file.contains("size_bytes") &&
                       file["size_bytes"].is_number_unsigned() && file.contains("sha256") &&
                       file["sha256"].is_string();
    if (!sound) return std::nullopt;
    list[entry.key()] = {file["size_bytes"], file["sha256"]};
  }
  return list;
}

absl::Status CheckSize(const fs::path& folder, const std::string& name, uint64_t expected_bytes) {
  std::error_code error;
  const uint64_t found_bytes = fs::file_size(folder / name, error);
  if (error) {
    return Differs(StrCat(name, ": found no file, expected one of ", expected_bytes, " bytes"));
  }
  if (found_bytes == expected_bytes) return absl::OkStatus();
  return Differs(StrCat(name, ": found ", found_bytes, " bytes, expected ", expected_bytes));
}

absl::Status CheckDigest(const fs::path& folder, const std::string& name,
                         const std::string& expected, const JobContext& context) {
  ASSIGN_OR_RETURN(const FileDigest found, DigestOf(folder / name, context));
  if (found.sha256 == expected) return absl::OkStatus();
  return Differs(StrCat(name, ": found SHA-256 ", found.sha256.substr(0, kShownDigits),
                        "..., expected ", expected.substr(0, kShownDigits), "..."));
}

}  // namespace

absl::StatusOr<FileDigest> DigestOf(const fs::path& path, const JobContext& context) {
  ASSIGN_OR_RETURN(const File file, File::OpenForRead(path));
  FileDigest digest;
  ASSIGN_OR_RETURN(digest.size_bytes, file.SizeBytes());
  Sha256 hash;
  std::vector<std::byte> bytes;
  for (uint64_t done = 0; done < digest.size_bytes; done += bytes.size()) {
    RETURN_IF_ERROR(context.CheckStopped());
    bytes.resize(std::min<uint64_t>(kReadBytes, digest.size_bytes - done));
    RETURN_IF_ERROR(file.ReadAt(done, bytes));
    hash.Update(bytes);
  }
  digest.sha256 = hash.HexDigest();
  return digest;
}

nlohmann::json FileListToJson(const FileList& list) {
  nlohmann::json json = nlohmann::json::object();
  for (const auto& [name, digest] : list) {
    json[name] = {{"size_bytes", digest.size_bytes}, {"sha256", digest.sha256}};
  }
  return json;
}

absl::Status CheckFileList(const fs::path& folder, const nlohmann::json& list,
                           const JobContext& context) {
  const std::optional<FileList> files = FileListFromJson(list);
  if (!files) return Differs(StrCat(kProvenanceFile, ": found no list of files, expected one"));
  // Sizes tell most damage, and cost nothing.
  std::vector<const FileList::value_type*> each;
  for (const FileList::value_type& file : *files) {
    RETURN_IF_ERROR(CheckSize(folder, file.first, file.second.size_bytes));
    each.push_back(&file);
  }
  return ForEach(each.size(), context.threads, [&](size_t i) {
    return CheckDigest(folder, each[i]->first, each[i]->second.sha256, context);
  });
}

}  // namespace quantized
