#include "core/safetensors/header.h"

#include <simdjson.h>

#include <algorithm>
#include <optional>
#include <string_view>

#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/safetensors/format.h"
#include "core/tensor/shape.h"
#include "core/tensor/text.h"

namespace quantized::safetensors {
namespace {

namespace dom = simdjson::dom;

absl::Status Damaged(std::string_view where, std::string_view what) {
  return MakeError(Error::kValidationFailed, StrCat(where, ": ", what));
}

// The three members of a tensor's entry; each may come once.
struct Members {
  std::optional<dom::element> dtype, shape, data_offsets;
};

absl::StatusOr<Members> SplitEntry(std::string_view where, dom::element entry) {
  dom::object object;
  if (entry.get(object)) return Damaged(where, "its entry is not an object");
  Members members;
  for (const auto& [key, value] : object) {
    std::optional<dom::element>* member = key == "dtype"          ? &members.dtype
                                          : key == "shape"        ? &members.shape
                                          : key == "data_offsets" ? &members.data_offsets
                                                                  : nullptr;
    if (member == nullptr) continue;  // a later version's addition; the reference ignores it too
    if (*member) return Damaged(where, StrCat(key, " is given twice"));
    *member = value;
  }
  if (!members.dtype) return Damaged(where, "dtype is missing");
  if (!members.shape) return Damaged(where, "shape is missing");
  if (!members.data_offsets) return Damaged(where, "data_offsets is missing");
  return members;
}

absl::StatusOr<DType> ParseDType(std::string_view where, dom::element value) {
  std::string_view name;
  if (value.get(name)) return Damaged(where, "dtype is not a string");
  const DTypeRow* row = FindDType(name);
  if (row == nullptr) {
    return Damaged(where, StrCat("dtype '", PrintableName(name), "' is unknown"));
  }
  return row->dtype;
}

absl::StatusOr<std::vector<uint64_t>> ParseNumbers(std::string_view where, std::string_view key,
                                                   size_t max_count, dom::element value) {
  dom::array array;
  if (value.get(array)) return Damaged(where, StrCat(key, " is not an array"));
  std::vector<uint64_t> numbers;
  for (const dom::element item : array) {
    uint64_t number;
    if (item.get(number)) {
      return Damaged(
          where, StrCat(key, " entry ", numbers.size(), " is not a non-negative 64-bit integer"));
    }
    if (numbers.size() == max_count) {
      return Damaged(where, StrCat(key, " has more than ", max_count, " entries"));
    }
    numbers.push_back(number);
  }
  return numbers;
}

absl::StatusOr<TensorInfo> ParseTensor(std::string_view where, std::string_view name,
                                       dom::element entry, uint64_t data_bytes) {
  TensorInfo tensor;
  tensor.name = std::string(name);
  ASSIGN_OR_RETURN(const Members members, SplitEntry(where, entry));
  ASSIGN_OR_RETURN(tensor.dtype, ParseDType(where, *members.dtype));
  ASSIGN_OR_RETURN(tensor.shape, ParseNumbers(where, "shape", kMaxDims, *members.shape));
  ASSIGN_OR_RETURN(const std::vector<uint64_t> offsets,
                   ParseNumbers(where, "data_offsets", 2, *members.data_offsets));
  if (offsets.size() != 2) {
    return Damaged(where, StrCat("data_offsets has ", offsets.size(), " entries, expected 2"));
  }
  const uint64_t begin = offsets[0], end = offsets[1];
  const std::string range = StrCat("data_offsets ", ShapeText(offsets));
  if (begin > end) return Damaged(where, StrCat(range, " begin after their end"));
  if (end > data_bytes) {
    return Damaged(where,
                   StrCat(range, " end at ", end, ", file has ", data_bytes, " bytes of data"));
  }
  const DTypeRow& dtype = RowOf(tensor.dtype);
  const auto elements = ElementCount(tensor.shape);
  const auto size_bytes = elements ? CheckedMultiply(*elements, dtype.size_bytes) : std::nullopt;
  const std::string what = StrCat("shape ", ShapeText(tensor.shape), " of ", dtype.name);
  if (!size_bytes) return Damaged(where, StrCat(what, " overflows 64 bits"));
  if (*size_bytes != end - begin) {
    return Damaged(where,
                   StrCat(range, " hold ", end - begin, " bytes, ", what, " needs ", *size_bytes));
  }
  tensor.offset = begin;
  tensor.size_bytes = *size_bytes;
  return tensor;
}

absl::Status ParseMetadata(std::string_view file_name, dom::element value, Header& header) {
  const std::string where = StrCat(file_name, ": __metadata__");
  dom::object object;
  if (value.get(object)) return Damaged(where, "not an object");
  for (const auto& [key, text] : object) {
    std::string_view string;
    if (text.get(string)) {
      return Damaged(where, StrCat("value of '", PrintableName(key), "' is not a string"));
    }
    header.metadata.emplace_back(key, string);
  }
  return absl::OkStatus();
}

// The tensors must tile [0, data_bytes): then no byte belongs to two of them and none is hidden.
absl::Status CheckCoverage(std::string_view file_name, const std::vector<TensorInfo>& tensors,
                           uint64_t data_bytes) {
  std::vector<const TensorInfo*> by_offset;
  by_offset.reserve(tensors.size());
  for (const TensorInfo& tensor : tensors) by_offset.push_back(&tensor);
  std::sort(by_offset.begin(), by_offset.end(), [](const TensorInfo* a, const TensorInfo* b) {
    // An empty tensor stands before the one that begins at the same byte.
    return std::pair(a->offset, a->size_bytes) < std::pair(b->offset, b->size_bytes);
  });
  uint64_t end = 0;
  const TensorInfo* last = nullptr;
  for (const TensorInfo* tensor : by_offset) {
    if (tensor->offset != end) {
      return Damaged(StrCat(file_name, ": tensor ", PrintableName(tensor->name)),
                     StrCat("data_offsets begin at ", tensor->offset,
                            tensor->offset < end ? ", overlapping " : ", leaving a gap after ",
                            last == nullptr ? "the header" : PrintableName(last->name),
                            " (ends at ", end, ")"));
    }
    end += tensor->size_bytes;
    last = tensor;
  }
  if (end != data_bytes) {
    return Damaged(file_name, StrCat("tensors end at byte ", end, " of the data, file has ",
                                     data_bytes, " bytes of data"));
  }
  return absl::OkStatus();
}

absl::Status CheckNamesAreUnique(std::string_view file_name,
                                 const std::vector<TensorInfo>& sorted) {
  const auto twin = std::adjacent_find(
      sorted.begin(), sorted.end(), [](const auto& a, const auto& b) { return a.name == b.name; });
  if (twin == sorted.end()) return absl::OkStatus();
  return Damaged(file_name,
                 StrCat("tensor ", PrintableName(twin->name), " is in the header twice"));
}

}  // namespace

absl::StatusOr<Header> ParseHeader(std::string_view file_name, std::string json,
                                   uint64_t data_bytes) {
  // Keeps simdjson from copying the text: it reads, but does not use, some bytes after the end.
  const size_t json_bytes = json.size();
  json.resize(json_bytes + simdjson::SIMDJSON_PADDING);
  dom::parser parser;
  dom::element document;
  if (const auto error =
          parser.parse(json.data(), json_bytes, /*realloc_if_needed=*/false).get(document)) {
    return Damaged(file_name, StrCat("header is not valid JSON: ", simdjson::error_message(error)));
  }
  dom::object object;
  if (document.get(object)) return Damaged(file_name, "header is not a JSON object");

  Header header;
  bool has_metadata = false;
  for (const auto& [name, value] : object) {
    if (name == kMetadataKey) {
      if (has_metadata) return Damaged(file_name, "__metadata__ is in the header twice");
      has_metadata = true;
      RETURN_IF_ERROR(ParseMetadata(file_name, value, header));
      continue;
    }
    const std::string where = StrCat(file_name, ": tensor ", PrintableName(name));
    ASSIGN_OR_RETURN(TensorInfo tensor, ParseTensor(where, name, value, data_bytes));
    header.tensors.push_back(std::move(tensor));
  }
  std::sort(header.tensors.begin(), header.tensors.end(),
            [](const TensorInfo& a, const TensorInfo& b) { return a.name < b.name; });
  RETURN_IF_ERROR(CheckNamesAreUnique(file_name, header.tensors));
  RETURN_IF_ERROR(CheckCoverage(file_name, header.tensors, data_bytes));
  return header;
}

}  // namespace quantized::safetensors
