#include "core/calibrate/importance_file.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <span>
#include <string_view>
#include <utility>

#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/gguf/cursor.h"
#include "core/gguf/reader.h"
#include "core/tensor/text.h"

namespace quantized {
namespace {

constexpr std::string_view kDatasetsKey = "imatrix.datasets";
constexpr std::string_view kChunkCountKey = "imatrix.chunk_count";
constexpr std::string_view kChunkSizeKey = "imatrix.chunk_size";
constexpr std::string_view kSumsSuffix = ".in_sum2", kCountsSuffix = ".counts";
// Least bytes of an entry of the older form: three numbers, a letter and a value.
constexpr uint64_t kMinLegacyEntryBytes = 3 * 4 + 1 + 4;

absl::Status Damaged(std::string_view what) {
  return MakeError(Error::kValidationFailed, what, "Give a file that llama-imatrix wrote");
}

// Both forms are read by the tools in the field as texts that end at the first zero.
std::string UpToZero(std::string text) {
  text.resize(std::min(text.find('\0'), text.size()));
  return text;
}

// What the field's tools do not take as a positive 32-bit number, they do not take as a count.
uint32_t ChunksOf(int32_t number) { return number > 0 ? static_cast<uint32_t>(number) : 0; }

// --- the GGUF form ---

template <typename T>
absl::StatusOr<T> RequiredKey(const gguf::Metadata& metadata, std::string_view key,
                              std::string_view expected) {
  const gguf::Value* value = metadata.Find(key);
  if (value == nullptr) {
    return Damaged(StrCat("not an importance matrix: metadata key ", key, " is missing"));
  }
  if (const T* typed = std::get_if<T>(value)) return *typed;
  return Damaged(StrCat("metadata key ", key, " is ", gguf::NameOf(gguf::TypeOf(*value)),
                        ", expected ", expected));
}

absl::Status ReadKeys(const gguf::Metadata& metadata, ImportanceFile& file) {
  ASSIGN_OR_RETURN(const auto datasets,
                   RequiredKey<gguf::Array>(metadata, kDatasetsKey, "array of string"));
  const auto* names = std::get_if<std::vector<std::string>>(&datasets);
  if (names == nullptr) {
    return Damaged(StrCat("metadata key ", kDatasetsKey, " is array of ",
                          gguf::NameOf(gguf::ElementTypeOf(datasets)), ", expected of string"));
  }
  if (!names->empty()) file.dataset = UpToZero(names->front());
  ASSIGN_OR_RETURN(const auto chunks, RequiredKey<uint32_t>(metadata, kChunkCountKey, "uint32"));
  file.chunks = ChunksOf(static_cast<int32_t>(chunks));
  return RequiredKey<uint32_t>(metadata, kChunkSizeKey, "uint32").status();
}

struct EntryTensors {
  const gguf::TensorInfo* sums = nullptr;
  const gguf::TensorInfo* counts = nullptr;
};

// Tensors of other names are none of ours. The names point into the reader.
std::map<std::string_view, EntryTensors> EntriesOf(const gguf::GgufReader& reader) {
  std::map<std::string_view, EntryTensors> entries;
  for (const gguf::TensorInfo& tensor : reader.tensors()) {
    std::string_view name = tensor.name;
    if (name.ends_with(kSumsSuffix)) {
      name.remove_suffix(kSumsSuffix.size());
      entries[name].sums = &tensor;
    } else if (name.ends_with(kCountsSuffix)) {
      name.remove_suffix(kCountsSuffix.size());
      entries[name].counts = &tensor;
    }
  }
  return entries;
}

absl::StatusOr<std::vector<float>> ReadFloats(const gguf::GgufReader& reader,
                                              const gguf::TensorInfo* tensor,
                                              std::string_view suffix) {
  if (tensor == nullptr) return Damaged(StrCat("tensor ", suffix, " is missing"));
  if (tensor->type != kernels::TypeId::kF32) {
    return Damaged(StrCat("tensor ", suffix, " is ", kernels::QuantTypeOf(tensor->type).name,
                          ", expected F32"));
  }
  std::vector<float> values(tensor->size_bytes / sizeof(float));
  RETURN_IF_ERROR(reader.Read(*tensor, 0, std::as_writable_bytes(std::span(values))));
  return values;
}

// Makes the sums of squares of each matrix, in place, the mean over its tokens. A matrix that no
// token reached has no preference for a column.
absl::Status DivideByCounts(std::span<const float> counts, std::span<float> sums) {
  if (sums.size() % counts.size() != 0) {
    return Damaged(StrCat(counts.size(), " counts for ", sums.size(),
                          " sums, expected a number that divides them"));
  }
  const size_t cols = sums.size() / counts.size();
  for (const float given : counts) {
    if (!std::isfinite(given) || given < 0) {
      return Damaged(StrCat("a count is ", given, ", expected 0 or more"));
    }
    const std::span<float> matrix = sums.first(cols);
    const float count = std::round(given);
    for (float& sum : matrix) sum = count > 0 ? sum / count : 1.0f;
    sums = sums.subspan(cols);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<float>> ReadEntry(const gguf::GgufReader& reader,
                                             const EntryTensors& tensors) {
  ASSIGN_OR_RETURN(std::vector<float> sums, ReadFloats(reader, tensors.sums, kSumsSuffix));
  ASSIGN_OR_RETURN(const std::vector<float> counts,
                   ReadFloats(reader, tensors.counts, kCountsSuffix));
  RETURN_IF_ERROR(DivideByCounts(counts, sums));
  return sums;
}

absl::Status ReadGguf(const gguf::GgufReader& reader, ImportanceFile& file) {
  RETURN_IF_ERROR(ReadKeys(reader.metadata(), file));
  for (const auto& [name, tensors] : EntriesOf(reader)) {
    ASSIGN_OR_RETURN(file.entries[std::string(name)], ReadEntry(reader, tensors),
                     << "entry " << PrintableName(name));
  }
  if (file.entries.empty()) return Damaged("holds no entries, expected one at least");
  return absl::OkStatus();
}

// --- the older form ---

absl::StatusOr<uint64_t> ReadLength(gguf::Cursor& cursor, std::string_view what) {
  ASSIGN_OR_RETURN(const int32_t length, cursor.ReadNumber<int32_t>(), << what);
  if (length >= 1) return static_cast<uint64_t>(length);
  return Damaged(StrCat(what, " is ", length, ", expected 1 or more"));
}

absl::StatusOr<std::string> ReadText(gguf::Cursor& cursor, uint64_t length) {
  ASSIGN_OR_RETURN(const std::vector<char> text, cursor.ReadNumbers<char>(length));
  return std::string(text.begin(), text.end());
}

// What follows the name. The values are means, multiplied with the number of calls.
absl::StatusOr<std::vector<float>> ReadLegacyWeights(gguf::Cursor& cursor) {
  ASSIGN_OR_RETURN(const int32_t calls, cursor.ReadNumber<int32_t>(), << "number of calls");
  ASSIGN_OR_RETURN(const uint64_t count, ReadLength(cursor, "number of values"));
  ASSIGN_OR_RETURN(std::vector<float> values, cursor.ReadNumbers<float>(count), << "values");
  if (calls > 0) {
    for (float& value : values) value /= static_cast<float>(calls);
  }
  return values;
}

// Chunks and data set stand behind the entries. The first files of this form ended before them.
absl::Status ReadLegacyTail(gguf::Cursor& cursor, uint64_t file_bytes, ImportanceFile& file) {
  if (cursor.position() == file_bytes) return absl::OkStatus();
  ASSIGN_OR_RETURN(const int32_t chunks, cursor.ReadNumber<int32_t>(), << "number of chunks");
  file.chunks = ChunksOf(chunks);
  if (cursor.position() == file_bytes) return absl::OkStatus();
  ASSIGN_OR_RETURN(const int32_t length, cursor.ReadNumber<int32_t>(), << "length of data set");
  if (length <= 0) return absl::OkStatus();
  ASSIGN_OR_RETURN(std::string dataset, ReadText(cursor, static_cast<uint64_t>(length)),
                   << "name of data set");
  file.dataset = UpToZero(std::move(dataset));
  return absl::OkStatus();
}

absl::Status ReadLegacy(const ByteSource& bytes, ImportanceFile& file) {
  gguf::Cursor cursor(bytes, bytes.size_bytes());
  ASSIGN_OR_RETURN(const uint64_t count, ReadLength(cursor, "number of entries"));
  RETURN_IF_ERROR(cursor.CheckRoomFor(count, kMinLegacyEntryBytes))
      << "neither GGUF nor the older form of an importance matrix: number of entries " << count;
  for (uint64_t i = 0; i < count; ++i) {
    const std::string number = StrCat("entry ", i);
    ASSIGN_OR_RETURN(const uint64_t length, ReadLength(cursor, "length of name"), << number);
    ASSIGN_OR_RETURN(std::string name, ReadText(cursor, length), << number << ": name");
    const std::string where = StrCat("entry ", PrintableName(name));
    ASSIGN_OR_RETURN(std::vector<float> weights, ReadLegacyWeights(cursor), << where);
    if (!file.entries.emplace(std::move(name), std::move(weights)).second) {
      return Damaged(where + " is there twice");
    }
  }
  return ReadLegacyTail(cursor, bytes.size_bytes(), file);
}

absl::StatusOr<bool> IsGguf(const ByteSource& bytes) {
  constexpr std::string_view kMagic = "GGUF";
  std::array<char, kMagic.size()> start;
  if (bytes.size_bytes() < start.size()) return false;
  RETURN_IF_ERROR(bytes.ReadAt(0, std::as_writable_bytes(std::span(start))));
  return std::string_view(start.data(), start.size()) == kMagic;
}

}  // namespace

absl::StatusOr<ImportanceFile> ReadImportanceFile(std::unique_ptr<ByteSource> bytes) {
  const std::string file_name = bytes->name();
  ASSIGN_OR_RETURN(const bool is_pointer, IsGitLfsPointer(*bytes));
  if (is_pointer) return GitLfsPointerError(*bytes, "an importance matrix");
  ASSIGN_OR_RETURN(const bool is_gguf, IsGguf(*bytes));
  ImportanceFile file;
  if (is_gguf) {
    ASSIGN_OR_RETURN(const auto reader, gguf::GgufReader::Open(std::move(bytes)));
    RETURN_IF_ERROR(ReadGguf(*reader, file)) << file_name;
  } else {
    RETURN_IF_ERROR(ReadLegacy(*bytes, file)) << file_name;
  }
  return file;
}

}  // namespace quantized
