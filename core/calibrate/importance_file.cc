#include "core/calibrate/importance_file.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <span>
#include <string_view>
#include <utility>

#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/gguf/cursor.h"
#include "core/gguf/layout.h"
#include "core/gguf/reader.h"
#include "core/tensor/text.h"

namespace quantized {
namespace {

constexpr std::string_view kDatasetsKey = "imatrix.datasets";
constexpr std::string_view kChunkCountKey = "imatrix.chunk_count";
constexpr std::string_view kChunkSizeKey = "imatrix.chunk_size";
constexpr std::string_view kSumsSuffix = ".in_sum2", kCountsSuffix = ".counts";
// Tokens of a call of the older form, which does not tell them.
constexpr uint32_t kLegacyCallTokens = 512;
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
  for (const std::string& name : *names) file.datasets.push_back(UpToZero(name));
  ASSIGN_OR_RETURN(const auto chunks, RequiredKey<uint32_t>(metadata, kChunkCountKey, "uint32"));
  file.chunks = ChunksOf(static_cast<int32_t>(chunks));
  ASSIGN_OR_RETURN(file.chunk_tokens, RequiredKey<uint32_t>(metadata, kChunkSizeKey, "uint32"));
  return absl::OkStatus();
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

absl::Status CheckCounts(const ImportanceEntry& entry) {
  if (entry.sums.size() % entry.counts.size() != 0) {
    return Damaged(StrCat(entry.counts.size(), " counts for ", entry.sums.size(),
                          " sums, expected a number that divides them"));
  }
  for (const float count : entry.counts) {
    if (!std::isfinite(count) || count < 0) {
      return Damaged(StrCat("a count is ", count, ", expected 0 or more"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<ImportanceEntry> ReadEntry(const gguf::GgufReader& reader,
                                          const EntryTensors& tensors) {
  ImportanceEntry entry;
  ASSIGN_OR_RETURN(entry.sums, ReadFloats(reader, tensors.sums, kSumsSuffix));
  ASSIGN_OR_RETURN(entry.counts, ReadFloats(reader, tensors.counts, kCountsSuffix));
  RETURN_IF_ERROR(CheckCounts(entry));
  return entry;
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
absl::StatusOr<ImportanceEntry> ReadLegacyEntry(gguf::Cursor& cursor) {
  ASSIGN_OR_RETURN(const int32_t calls, cursor.ReadNumber<int32_t>(), << "number of calls");
  ASSIGN_OR_RETURN(const uint64_t count, ReadLength(cursor, "number of values"));
  ImportanceEntry entry;
  ASSIGN_OR_RETURN(entry.sums, cursor.ReadNumbers<float>(count), << "values");
  // A power of two on both sides leaves the quotient as it was, bit for bit.
  for (float& sum : entry.sums) sum *= kLegacyCallTokens;
  entry.counts = {static_cast<float>(std::max(calls, 1)) * kLegacyCallTokens};
  return entry;
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
  file.datasets.push_back(UpToZero(std::move(dataset)));
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
    ASSIGN_OR_RETURN(ImportanceEntry entry, ReadLegacyEntry(cursor), << where);
    if (!file.entries.emplace(std::move(name), std::move(entry)).second) {
      return Damaged(where + " is there twice");
    }
  }
  file.chunk_tokens = kLegacyCallTokens;
  return ReadLegacyTail(cursor, bytes.size_bytes(), file);
}

absl::StatusOr<bool> IsGguf(const ByteSource& bytes) {
  constexpr std::string_view kMagic = "GGUF";
  std::array<char, kMagic.size()> start;
  if (bytes.size_bytes() < start.size()) return false;
  RETURN_IF_ERROR(bytes.ReadAt(0, std::as_writable_bytes(std::span(start))));
  return std::string_view(start.data(), start.size()) == kMagic;
}

// --- writing ---

template <typename T>
void Append(T number, std::string& bytes) {
  bytes.append(reinterpret_cast<const char*>(&number), sizeof(number));
}
void AppendText(std::string_view text, std::string& bytes) {
  Append(static_cast<int32_t>(text.size()), bytes);
  bytes += text;
}

}  // namespace

std::vector<float> ImportanceEntry::Weights() const {
  std::vector<float> weights = sums;
  for (size_t i = 0; i < weights.size(); ++i) {
    const float count = std::round(counts[i / columns()]);
    weights[i] = count > 0 ? weights[i] / count : 1.0f;
  }
  return weights;
}

absl::Status AddImportance(const ImportanceFile& more, std::string_view name, ImportanceFile& sum) {
  for (const auto& [tensor, entry] : more.entries) {
    const auto [place, is_new] = sum.entries.emplace(tensor, entry);
    if (is_new) continue;
    ImportanceEntry& total = place->second;
    if (total.sums.size() != entry.sums.size() || total.counts.size() != entry.counts.size()) {
      return MakeError(Error::kInvalidArgument,
                       StrCat(name, ": entry ", PrintableName(tensor), " has ", entry.sums.size(),
                              " sums and ", entry.counts.size(), " counts, in the matrices before ",
                              total.sums.size(), " and ", total.counts.size()),
                       "Give importance matrices of one model");
    }
    std::ranges::transform(total.sums, entry.sums, total.sums.begin(), std::plus());
    std::ranges::transform(total.counts, entry.counts, total.counts.begin(), std::plus());
  }
  for (const std::string& dataset : more.datasets) {
    if (std::ranges::find(sum.datasets, dataset) == sum.datasets.end()) {
      sum.datasets.push_back(dataset);
    }
  }
  sum.chunks += more.chunks;
  if (sum.chunk_tokens == 0) sum.chunk_tokens = more.chunk_tokens;
  return absl::OkStatus();
}

absl::StatusOr<std::string> ImportanceGguf(const ImportanceFile& file) {
  gguf::Metadata metadata;
  metadata.SetLast("general.type", std::string("imatrix"));
  metadata.SetLast(kDatasetsKey, gguf::Array(file.datasets));
  metadata.SetLast(kChunkCountKey, file.chunks);
  metadata.SetLast(kChunkSizeKey, file.chunk_tokens);
  std::vector<gguf::PlannedTensor> tensors;
  std::vector<const std::vector<float>*> values;
  for (const auto& [name, entry] : file.entries) {
    const uint64_t matrices = entry.counts.size();
    tensors.push_back(
        {StrCat(name, kSumsSuffix), kernels::TypeId::kF32, {entry.columns(), matrices}});
    tensors.push_back({StrCat(name, kCountsSuffix), kernels::TypeId::kF32, {1, matrices}});
    values.insert(values.end(), {&entry.sums, &entry.counts});
  }
  ASSIGN_OR_RETURN(const gguf::GgufLayout layout, gguf::Plan(metadata, tensors));
  std::string bytes = layout.header;
  for (size_t i = 0; i < values.size(); ++i) {
    bytes.resize(layout.tensors[i].offset);
    bytes.append(reinterpret_cast<const char*>(values[i]->data()), layout.tensors[i].size_bytes);
  }
  bytes.resize(layout.file_size_bytes);
  return bytes;
}

std::string ImportanceLegacy(const ImportanceFile& file) {
  const auto chunk_tokens = static_cast<float>(std::max(file.chunk_tokens, 1u));
  std::string bytes;
  Append(static_cast<int32_t>(file.entries.size()), bytes);
  for (const auto& [name, entry] : file.entries) {
    const float calls = std::clamp(std::ceil(std::ranges::max(entry.counts) / chunk_tokens), 1.0f,
                                   static_cast<float>(1 << 30));
    AppendText(name, bytes);
    Append(static_cast<int32_t>(calls), bytes);
    Append(static_cast<int32_t>(entry.sums.size()), bytes);
    for (const float weight : entry.Weights()) Append(weight * calls, bytes);
  }
  Append(static_cast<int32_t>(file.chunks), bytes);
  AppendText(file.datasets.empty() ? "" : file.datasets.front(), bytes);
  return bytes;
}

absl::StatusOr<std::string> ImportanceBytes(const ImportanceFile& file,
                                            const std::filesystem::path& path) {
  if (path.extension() == ".dat") return ImportanceLegacy(file);
  return ImportanceGguf(file);
}

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

absl::StatusOr<ImportanceFile> OpenImportanceFile(const std::filesystem::path& path) {
  auto bytes = OpenFileBytes(path);
  if (!bytes.ok() && ErrorOf(bytes.status()) == Error::kModelNotFound) {
    return MakeError(Error::kInvalidArgument, StrCat("--imatrix ", path.string(), ": no such file"),
                     "Give an importance matrix as llama-imatrix writes it");
  }
  RETURN_IF_ERROR(bytes.status()) << "--imatrix";
  return ReadImportanceFile(*std::move(bytes));
}

}  // namespace quantized
