// The files of an AWQ or GPTQ folder, as its llm-quantize.json lists them: a later job knows by it
// that they are what was written. Format: docs/formats/provenance.md. Any thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/base/job_context.h"

namespace quantized {

// The file in an output that tells how it was made, and by which job, and has the list.
inline constexpr std::string_view kProvenanceFile = "llm-quantize.json";

struct FileDigest {
  uint64_t size_bytes = 0;
  std::string sha256;  // 64 lower-case hexadecimal digits
};
using FileList = std::map<std::string, FileDigest, std::less<>>;  // by path in the folder

// Reads the file from end to end. Errors: those of File; kCancelled.
absl::StatusOr<FileDigest> DigestOf(const std::filesystem::path& path, const JobContext& context);

nlohmann::json FileListToJson(const FileList& list);

// Whether all files of `list`, which FileListToJson gave, are in `folder` as they were; what is
// there besides does not matter. Not on a thread of the context's pool. Errors: kValidationFailed
// with the first file that differs, found and expected, or where `list` is none; kIo, kCancelled.
absl::Status CheckFileList(const std::filesystem::path& folder, const nlohmann::json& list,
                           const JobContext& context);

}  // namespace quantized
