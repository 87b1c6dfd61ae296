#include "core/gguf/file_header.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <string_view>
#include <unordered_set>
#include <utility>

#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/gguf/cursor.h"
#include "core/tensor/shape.h"
#include "core/tensor/text.h"

namespace quantized::gguf {
namespace {

constexpr uint64_t kMaxHeaderBytes = 64 << 20;
constexpr std::string_view kMagic = "GGUF";
constexpr size_t kMaxDims = 4;
// Far above what models have (some fifty pairs; a hundred thousand tensors where each expert is
// one).
constexpr uint64_t kMaxPairs = 1 << 16;
constexpr uint64_t kMaxTensors = 1 << 18;
// A header is padded to it in memory.
constexpr uint32_t kMaxAlignment = 1 << 20;
// Least bytes that a key-value pair and a tensor info take in the file.
constexpr uint64_t kMinPairBytes = 8 + 4 + 1;
constexpr uint64_t kMinTensorInfoBytes = 8 + 4 + 8 + 4 + 8;
constexpr uint64_t kMinStringBytes = 8;

absl::Status Damaged(std::string_view what) { return MakeError(Error::kValidationFailed, what); }

template <typename T>
absl::StatusOr<Value> ReadScalar(Cursor& cursor) {
  ASSIGN_OR_RETURN(const T value, cursor.ReadNumber<T>());
  return Value(value);
}

template <typename T>
absl::StatusOr<Value> ReadArrayOf(Cursor& cursor, uint64_t count) {
  ASSIGN_OR_RETURN(std::vector<T> values, cursor.ReadNumbers<T>(count));
  return Value(Array(std::move(values)));
}

absl::StatusOr<Value> ReadBool(Cursor& cursor) {
  ASSIGN_OR_RETURN(const uint8_t byte, cursor.ReadNumber<uint8_t>());
  if (byte > 1) return Damaged(StrCat("bool is ", byte, ", expected 0 or 1"));
  return Value(byte == 1);
}

absl::StatusOr<Value> ReadBools(Cursor& cursor, uint64_t count) {
  ASSIGN_OR_RETURN(const std::vector<uint8_t> bytes, cursor.ReadNumbers<uint8_t>(count));
  std::vector<Bool> values;
  values.reserve(bytes.size());
  for (const uint8_t byte : bytes) {
    if (byte > 1) {
      return Damaged(StrCat("element ", values.size(), " is ", byte, ", expected 0 or 1"));
    }
    values.push_back(Bool{byte});
  }
  return Value(Array(std::move(values)));
}

absl::StatusOr<Value> ReadStrings(Cursor& cursor, uint64_t count) {
  RETURN_IF_ERROR(cursor.CheckRoomFor(count, kMinStringBytes));
  std::vector<std::string> values;
  values.reserve(count);
  for (uint64_t i = 0; i < count; ++i) {
    ASSIGN_OR_RETURN(std::string value, cursor.ReadString(), << "element " << i);
    values.push_back(std::move(value));
  }
  return Value(Array(std::move(values)));
}

absl::StatusOr<Value> ReadArray(Cursor& cursor) {
  ASSIGN_OR_RETURN(const uint32_t type, cursor.ReadNumber<uint32_t>());
  ASSIGN_OR_RETURN(const uint64_t count, cursor.ReadNumber<uint64_t>());
  switch (static_cast<ValueType>(type)) {
    case ValueType::kUint8:
      return ReadArrayOf<uint8_t>(cursor, count);
    case ValueType::kInt8:
      return ReadArrayOf<int8_t>(cursor, count);
    case ValueType::kUint16:
      return ReadArrayOf<uint16_t>(cursor, count);
    case ValueType::kInt16:
      return ReadArrayOf<int16_t>(cursor, count);
    case ValueType::kUint32:
      return ReadArrayOf<uint32_t>(cursor, count);
    case ValueType::kInt32:
      return ReadArrayOf<int32_t>(cursor, count);
    case ValueType::kFloat32:
      return ReadArrayOf<float>(cursor, count);
    case ValueType::kBool:
      return ReadBools(cursor, count);
    case ValueType::kString:
      return ReadStrings(cursor, count);
    case ValueType::kUint64:
      return ReadArrayOf<uint64_t>(cursor, count);
    case ValueType::kInt64:
      return ReadArrayOf<int64_t>(cursor, count);
    case ValueType::kFloat64:
      return ReadArrayOf<double>(cursor, count);
    // Nothing writes them, and they could be nested without end.
    case ValueType::kArray:
      return Damaged("an array of arrays is not accepted");
  }
  return Damaged(StrCat("array element type ", type, " is unknown"));
}

absl::StatusOr<Value> ReadValue(Cursor& cursor) {
  ASSIGN_OR_RETURN(const uint32_t type, cursor.ReadNumber<uint32_t>());
  switch (static_cast<ValueType>(type)) {
    case ValueType::kUint8:
      return ReadScalar<uint8_t>(cursor);
    case ValueType::kInt8:
      return ReadScalar<int8_t>(cursor);
    case ValueType::kUint16:
      return ReadScalar<uint16_t>(cursor);
    case ValueType::kInt16:
      return ReadScalar<int16_t>(cursor);
    case ValueType::kUint32:
      return ReadScalar<uint32_t>(cursor);
    case ValueType::kInt32:
      return ReadScalar<int32_t>(cursor);
    case ValueType::kFloat32:
      return ReadScalar<float>(cursor);
    case ValueType::kBool:
      return ReadBool(cursor);
    case ValueType::kString:
      return cursor.ReadString();
    case ValueType::kArray:
      return ReadArray(cursor);
    case ValueType::kUint64:
      return ReadScalar<uint64_t>(cursor);
    case ValueType::kInt64:
      return ReadScalar<int64_t>(cursor);
    case ValueType::kFloat64:
      return ReadScalar<double>(cursor);
  }
  return Damaged(StrCat("value type ", type, " is unknown"));
}

absl::Status CheckCount(const Cursor& cursor, std::string_view what, uint64_t count,
                        uint64_t min_bytes, uint64_t max_count) {
  RETURN_IF_ERROR(cursor.CheckRoomFor(count, min_bytes)) << what << " " << count;
  if (count <= max_count) return absl::OkStatus();
  return Damaged(StrCat(what, " ", count, ", at most ", max_count, " are accepted"));
}

absl::StatusOr<Metadata> ReadMetadata(Cursor& cursor, uint64_t count) {
  RETURN_IF_ERROR(CheckCount(cursor, "metadata count", count, kMinPairBytes, kMaxPairs));
  std::vector<Metadata::Entry> entries;
  std::unordered_set<std::string> keys;
  for (uint64_t i = 0; i < count; ++i) {
    ASSIGN_OR_RETURN(std::string key, cursor.ReadString(), << "metadata key " << i);
    const std::string where = StrCat("metadata key ", PrintableName(key));
    if (!keys.insert(key).second) return Damaged(where + " is there twice");
    ASSIGN_OR_RETURN(Value value, ReadValue(cursor), << where);
    entries.push_back({std::move(key), std::move(value)});
  }
  return Metadata(std::move(entries));
}

// Everything of a tensor info but its name. The offset becomes one from the start of the file
// later, when the start of the data is known.
absl::StatusOr<TensorInfo> ReadTensorInfo(Cursor& cursor, uint64_t alignment) {
  TensorInfo tensor;
  ASSIGN_OR_RETURN(const uint32_t dim_count, cursor.ReadNumber<uint32_t>());
  if (dim_count < 1 || dim_count > kMaxDims) {
    return Damaged(StrCat("has ", dim_count, " dimensions, expected 1 to ", kMaxDims));
  }
  ASSIGN_OR_RETURN(tensor.dims, cursor.ReadNumbers<uint64_t>(dim_count));
  ASSIGN_OR_RETURN(const uint32_t type, cursor.ReadNumber<uint32_t>());
  ASSIGN_OR_RETURN(tensor.offset, cursor.ReadNumber<uint64_t>());
  const kernels::QuantType* row = kernels::FindQuantType(type);
  if (row == nullptr) return Damaged(StrCat("type id ", type, " is unknown"));
  tensor.type = row->id;
  ASSIGN_OR_RETURN(tensor.size_bytes, TensorBytes(tensor.type, tensor.dims));
  if (tensor.offset % alignment != 0) {
    return Damaged(
        StrCat("offset ", tensor.offset, " is not a multiple of the alignment ", alignment));
  }
  return tensor;
}

absl::StatusOr<std::vector<TensorInfo>> ReadTensorInfos(Cursor& cursor, uint64_t count,
                                                        uint64_t alignment) {
  RETURN_IF_ERROR(CheckCount(cursor, "tensor count", count, kMinTensorInfoBytes, kMaxTensors));
  std::vector<TensorInfo> tensors;
  std::unordered_set<std::string> names;
  for (uint64_t i = 0; i < count; ++i) {
    ASSIGN_OR_RETURN(std::string name, cursor.ReadString(), << "name of tensor " << i);
    const std::string where = StrCat("tensor ", PrintableName(name));
    if (!names.insert(name).second) return Damaged(where + " is there twice");
    ASSIGN_OR_RETURN(TensorInfo tensor, ReadTensorInfo(cursor, alignment), << where);
    tensor.name = std::move(name);
    tensors.push_back(std::move(tensor));
  }
  return tensors;
}

// Turns offsets into the data part into offsets into the file and checks that each tensor lies in
// the file and shares no byte with another.
absl::Status PlaceTensors(uint64_t data_start, uint64_t file_bytes,
                          std::vector<TensorInfo>& tensors) {
  for (TensorInfo& tensor : tensors) {
    const auto begin = CheckedAdd(data_start, tensor.offset);
    const auto end = begin ? CheckedAdd(*begin, tensor.size_bytes) : std::nullopt;
    if (!end || *end > file_bytes) {
      return Damaged(StrCat("tensor ", PrintableName(tensor.name), ": ", tensor.size_bytes,
                            " bytes at offset ", tensor.offset,
                            " of the data, which begins at byte ", data_start, "; file has ",
                            file_bytes, " bytes"));
    }
    tensor.offset = *begin;
  }
  std::vector<const TensorInfo*> by_offset;
  by_offset.reserve(tensors.size());
  for (const TensorInfo& tensor : tensors) by_offset.push_back(&tensor);
  std::sort(by_offset.begin(), by_offset.end(),
            [](const TensorInfo* a, const TensorInfo* b) { return a->offset < b->offset; });
  for (size_t i = 1; i < by_offset.size(); ++i) {
    const TensorInfo &before = *by_offset[i - 1], &tensor = *by_offset[i];
    if (tensor.offset < before.offset + before.size_bytes) {
      return Damaged(StrCat("tensor ", PrintableName(tensor.name), ": offset ",
                            tensor.offset - data_start, " overlaps ", PrintableName(before.name),
                            " (ends at ", before.offset - data_start + before.size_bytes, ")"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckMagic(Cursor& cursor) {
  std::string magic(kMagic.size(), '\0');
  RETURN_IF_ERROR(cursor.ReadBytes(std::as_writable_bytes(std::span(magic))));
  if (magic == kMagic) return absl::OkStatus();
  return Damaged(
      StrCat("not a GGUF file: begins with '", PrintableName(magic), "', expected 'GGUF'"));
}

absl::StatusOr<uint32_t> ReadVersion(Cursor& cursor) {
  ASSIGN_OR_RETURN(const uint32_t version, cursor.ReadNumber<uint32_t>());
  if (version == 2 || version == 3) return version;
  if ((version & 0xFFFF) == 0 && version != 0) return Damaged("big-endian files are not accepted");
  return Damaged(StrCat("version ", version, ", expected 2 or 3"));
}

absl::StatusOr<FileHeader> Parse(const ByteSource& bytes) {
  Cursor cursor(bytes, kMaxHeaderBytes);
  FileHeader header;
  RETURN_IF_ERROR(CheckMagic(cursor));
  ASSIGN_OR_RETURN(header.version, ReadVersion(cursor));
  ASSIGN_OR_RETURN(const uint64_t tensor_count, cursor.ReadNumber<uint64_t>());
  ASSIGN_OR_RETURN(const uint64_t pair_count, cursor.ReadNumber<uint64_t>());
  ASSIGN_OR_RETURN(header.metadata, ReadMetadata(cursor, pair_count));
  ASSIGN_OR_RETURN(header.alignment, AlignmentOf(header.metadata));
  ASSIGN_OR_RETURN(header.tensors, ReadTensorInfos(cursor, tensor_count, header.alignment));
  header.size_bytes = cursor.position();
  // Cannot overflow: both are far below 2^63.
  const uint64_t data_start = *CheckedAlignUp(header.size_bytes, header.alignment);
  RETURN_IF_ERROR(PlaceTensors(data_start, bytes.size_bytes(), header.tensors));
  return header;
}

}  // namespace

absl::StatusOr<uint64_t> AlignmentOf(const Metadata& metadata) {
  const Value* value = metadata.Find(kAlignmentKey);
  if (value == nullptr) return kDefaultAlignment;
  const uint32_t* alignment = std::get_if<uint32_t>(value);
  if (alignment == nullptr) {
    return Damaged(
        StrCat("metadata key general.alignment is ", NameOf(TypeOf(*value)), ", expected uint32"));
  }
  if (!std::has_single_bit(*alignment) || *alignment > kMaxAlignment) {
    return Damaged(StrCat("metadata key general.alignment is ", *alignment,
                          ", expected a power of two up to ", kMaxAlignment));
  }
  return *alignment;
}

absl::StatusOr<uint64_t> TensorBytes(kernels::TypeId type, std::span<const uint64_t> dims) {
  if (dims.empty() || dims.size() > kMaxDims) {
    return Damaged(StrCat("has ", dims.size(), " dimensions, expected 1 to ", kMaxDims));
  }
  const kernels::QuantType& row = kernels::QuantTypeOf(type);
  const auto elements = ElementCount(dims);
  if (elements == 0u) return Damaged(StrCat("dimensions ", ShapeText(dims), " hold a 0"));
  if (elements && dims[0] % row.block_values != 0) {
    return Damaged(StrCat("row length ", dims[0], " is not a multiple of ", row.block_values,
                          ", the block of ", row.name));
  }
  const auto size_bytes =
      elements ? CheckedMultiply(*elements / row.block_values, row.block_bytes) : std::nullopt;
  // Offsets in files are signed: nothing can be larger.
  if (!size_bytes || *size_bytes > uint64_t{std::numeric_limits<int64_t>::max()}) {
    return Damaged(StrCat("dimensions ", ShapeText(dims), " of ", row.name, " overflow 63 bits"));
  }
  return *size_bytes;
}

absl::StatusOr<FileHeader> ParseFileHeader(const ByteSource& bytes) {
  if (bytes.size_bytes() == 0) {
    return Damaged(StrCat(bytes.name(), ": file is empty"));
  }
  ASSIGN_OR_RETURN(const bool is_pointer, IsGitLfsPointer(bytes));
  if (is_pointer) return GitLfsPointerError(bytes, "a GGUF file");
  ASSIGN_OR_RETURN(FileHeader header, Parse(bytes), << bytes.name());
  return header;
}

}  // namespace quantized::gguf
