#include "core/safetensors/reader.h"

#include <algorithm>
#include <array>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/safetensors/format.h"
#include "core/tensor/shape.h"

namespace quantized::safetensors {
namespace {

absl::Status Damaged(const ByteSource& bytes, std::string_view what) {
  return MakeError(Error::kValidationFailed, StrCat(bytes.name(), ": ", what));
}

// The length of the JSON text, from the first eight bytes.
absl::StatusOr<uint64_t> ReadJsonLength(const ByteSource& bytes) {
  const uint64_t size_bytes = bytes.size_bytes();
  if (size_bytes == 0) return Damaged(bytes, "file is empty");
  ASSIGN_OR_RETURN(const bool is_pointer, IsGitLfsPointer(bytes));
  if (is_pointer) return GitLfsPointerError(bytes, "a safetensors file");
  if (size_bytes < kLengthBytes) {
    return Damaged(bytes, StrCat("file has ", size_bytes,
                                 " bytes, the header's length alone takes ", kLengthBytes));
  }
  std::array<std::byte, kLengthBytes> field;
  RETURN_IF_ERROR(bytes.ReadAt(0, field));
  uint64_t length = 0;
  for (size_t i = 0; i < field.size(); ++i) {
    length |= std::to_integer<uint64_t>(field[i]) << (8 * i);
  }
  if (length > kMaxJsonBytes) {
    return Damaged(bytes,
                   StrCat("header length ", length, ", at most ", kMaxJsonBytes, " are accepted"));
  }
  if (length > size_bytes - kLengthBytes) {
    return Damaged(bytes, StrCat("header length ", length, ", file has ", size_bytes - kLengthBytes,
                                 " bytes after it"));
  }
  return length;
}

}  // namespace

absl::StatusOr<std::unique_ptr<SafetensorsReader>> SafetensorsReader::Open(
    const std::filesystem::path& path) {
  ASSIGN_OR_RETURN(std::unique_ptr<ByteSource> bytes, OpenFileBytes(path));
  return Open(std::move(bytes));
}

absl::StatusOr<std::unique_ptr<SafetensorsReader>> SafetensorsReader::Open(
    std::unique_ptr<ByteSource> bytes) {
  ASSIGN_OR_RETURN(const uint64_t json_bytes, ReadJsonLength(*bytes));
  std::string json(json_bytes, '\0');
  RETURN_IF_ERROR(bytes->ReadAt(kLengthBytes, std::as_writable_bytes(std::span(json))));
  const uint64_t data_start = kLengthBytes + json_bytes;
  ASSIGN_OR_RETURN(Header header,
                   ParseHeader(bytes->name(), std::move(json), bytes->size_bytes() - data_start));
  for (TensorInfo& tensor : header.tensors) tensor.offset += data_start;
  return std::unique_ptr<SafetensorsReader>(
      new SafetensorsReader(std::move(bytes), std::move(header), data_start));
}

const TensorInfo* SafetensorsReader::Find(std::string_view name) const {
  const auto found = std::lower_bound(
      header_.tensors.begin(), header_.tensors.end(), name,
      [](const TensorInfo& tensor, std::string_view wanted) { return tensor.name < wanted; });
  return found != header_.tensors.end() && found->name == name ? &*found : nullptr;
}

absl::Status SafetensorsReader::Read(const TensorInfo& tensor, uint64_t first_byte,
                                     std::span<std::byte> out) const {
  CHECK(first_byte <= tensor.size_bytes && out.size() <= tensor.size_bytes - first_byte);
  return bytes_->ReadAt(tensor.offset + first_byte, out);
}

}  // namespace quantized::safetensors
