#include "core/gguf/reader.h"

#include <string>
#include <string_view>
#include <system_error>
#include <unordered_set>
#include <utility>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/gguf/split.h"
#include "core/tensor/text.h"

namespace quantized::gguf {
namespace {

absl::Status Damaged(std::string_view file_name, std::string_view what) {
  return MakeError(Error::kValidationFailed, StrCat(file_name, ": ", what));
}

struct OpenFile {
  std::unique_ptr<ByteSource> bytes;
  FileHeader header;
};

absl::StatusOr<OpenFile> OpenOne(const std::filesystem::path& path) {
  OpenFile file;
  ASSIGN_OR_RETURN(file.bytes, OpenFileBytes(path));
  ASSIGN_OR_RETURN(file.header, ParseFileHeader(*file.bytes));
  return file;
}

// The number of files of the model that this header belongs to.
uint64_t SplitCount(const FileHeader& header) {
  return header.metadata.GetUnsigned(kSplitCountKey).value_or(1);
}

// A file of a split model must say itself that it is file `expected` (from 0) of `count`, as
// `reason` has it.
absl::Status CheckSplitKeys(const OpenFile& file, uint64_t expected, uint64_t count,
                            std::string_view reason) {
  const auto number = file.header.metadata.GetUnsigned(kSplitNumberKey);
  if (SplitCount(file.header) != count || number != expected) {
    return Damaged(file.bytes->name(), StrCat("split.no ", number ? StrCat(*number) : "is missing",
                                              " and split.count ", SplitCount(file.header),
                                              ", expected ", expected, " and ", count, reason));
  }
  return absl::OkStatus();
}
absl::Status CheckSplitKeys(const OpenFile& file, const SplitName& name) {
  return CheckSplitKeys(file, name.number - 1, name.count, " from the file's name");
}

}  // namespace

void GgufReader::AddPart(std::unique_ptr<ByteSource> bytes, FileHeader header) {
  const uint32_t part = static_cast<uint32_t>(parts_.size());
  if (part == 0) {
    metadata_ = std::move(header.metadata);
    version_ = header.version;
  }
  for (TensorInfo& tensor : header.tensors) {
    tensor.part = part;
    tensors_.push_back(std::move(tensor));
  }
  parts_.push_back({std::move(bytes), header.size_bytes});
}

// What only all files together show.
absl::Status GgufReader::CheckJoined() const {
  std::unordered_set<std::string_view> names;
  for (const TensorInfo& tensor : tensors_) {
    if (names.insert(tensor.name).second) continue;
    return Damaged(
        parts_[tensor.part].bytes->name(),
        StrCat("tensor ", PrintableName(tensor.name), " is in an earlier file of the model, too"));
  }
  const auto expected = metadata_.GetUnsigned(kSplitTensorsKey);
  if (expected && *expected != tensors_.size()) {
    return Damaged(parts_[0].bytes->name(),
                   StrCat("split.tensors.count is ", *expected, ", the model's ", parts_.size(),
                          " files hold ", tensors_.size(), " tensors"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<GgufReader>> GgufReader::Open(std::unique_ptr<ByteSource> bytes) {
  ASSIGN_OR_RETURN(FileHeader header, ParseFileHeader(*bytes));
  if (SplitCount(header) != 1) {
    return Damaged(bytes->name(),
                   StrCat("split.count is ", SplitCount(header), ", expected a model in one file"));
  }
  std::unique_ptr<GgufReader> reader(new GgufReader);
  reader->AddPart(std::move(bytes), std::move(header));
  return reader;
}

absl::StatusOr<std::unique_ptr<GgufReader>> GgufReader::Open(const std::filesystem::path& path) {
  ASSIGN_OR_RETURN(OpenFile given, OpenOne(path));
  std::unique_ptr<GgufReader> reader(new GgufReader);
  if (SplitCount(given.header) == 1) {
    reader->AddPart(std::move(given.bytes), std::move(given.header));
    return reader;
  }
  auto name = ParseSplitName(given.bytes->name());
  if (!name) {
    return Damaged(given.bytes->name(),
                   StrCat("split.count is ", SplitCount(given.header),
                          ", but the name does not end in -NNNNN-of-NNNNN.gguf"));
  }
  RETURN_IF_ERROR(CheckSplitKeys(given, *name));
  for (name->number = 1; name->number <= name->count; ++name->number) {
    const std::filesystem::path part_path = path.parent_path() / FormatSplitName(*name);
    std::error_code ignored;  // what is there but cannot be looked at fails when it is opened
    if (std::filesystem::status(part_path, ignored).type() ==
        std::filesystem::file_type::not_found) {
      return Damaged(part_path.filename().string(),
                     StrCat("missing, the model has ", name->count, " files"));
    }
    ASSIGN_OR_RETURN(OpenFile part, OpenOne(part_path));
    RETURN_IF_ERROR(CheckSplitKeys(part, *name));
    reader->AddPart(std::move(part.bytes), std::move(part.header));
  }
  RETURN_IF_ERROR(reader->CheckJoined());
  return reader;
}

absl::StatusOr<std::unique_ptr<GgufReader>> GgufReader::Open(
    std::span<const std::filesystem::path> files) {
  CHECK(!files.empty());
  if (files.size() == 1) {
    ASSIGN_OR_RETURN(std::unique_ptr<ByteSource> bytes, OpenFileBytes(files[0]));
    return Open(std::move(bytes));
  }
  std::unique_ptr<GgufReader> reader(new GgufReader);
  for (size_t i = 0; i < files.size(); ++i) {
    ASSIGN_OR_RETURN(OpenFile part, OpenOne(files[i]));
    RETURN_IF_ERROR(CheckSplitKeys(part, i, files.size(), " from its place in the list"));
    reader->AddPart(std::move(part.bytes), std::move(part.header));
  }
  RETURN_IF_ERROR(reader->CheckJoined());
  return reader;
}

absl::Status GgufReader::Read(const TensorInfo& tensor, uint64_t first_byte,
                              std::span<std::byte> out) const {
  CHECK(tensor.part < parts_.size());
  CHECK(first_byte <= tensor.size_bytes && out.size() <= tensor.size_bytes - first_byte);
  return parts_[tensor.part].bytes->ReadAt(tensor.offset + first_byte, out);
}

}  // namespace quantized::gguf
