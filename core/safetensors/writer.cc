#include "core/safetensors/writer.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <unordered_set>
#include <utility>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/safetensors/format.h"
#include "core/tensor/shape.h"
#include "core/tensor/text.h"
#include "nlohmann/json.hpp"

namespace quantized::safetensors {
namespace {

using nlohmann::json;

// Data that begins at a multiple of it can be mapped as it stands.
constexpr uint64_t kDataAlignment = 8;
constexpr size_t kMaxFiles = 99'999;  // five digits
// Half of what a signed file offset reaches: room for headers is left.
constexpr uint64_t kMaxBytes = std::numeric_limits<int64_t>::max() / 2;

absl::Status Refused(const PlannedTensor& tensor, std::string_view what) {
  return MakeError(Error::kValidationFailed,
                   StrCat("tensor ", PrintableName(tensor.name), ": ", what));
}

// `text` as a JSON string; nothing when it is not UTF-8.
std::optional<std::string> Quoted(const std::string& text) {
  const std::string quoted =
      json(text).dump(-1, ' ', /*ensure_ascii=*/false, json::error_handler_t::replace);
  if (json::parse(quoted).get_ref<const std::string&>() != text) return std::nullopt;
  return quoted;
}

absl::StatusOr<uint64_t> SizeOf(const PlannedTensor& tensor) {
  if (tensor.shape.size() > kMaxDims) {
    return Refused(
        tensor, StrCat("found ", tensor.shape.size(), " dimensions, expected at most ", kMaxDims));
  }
  const auto elements = ElementCount(tensor.shape);
  const auto size_bytes =
      elements ? CheckedMultiply(*elements, RowOf(tensor.dtype).size_bytes) : std::nullopt;
  if (!size_bytes || *size_bytes > kMaxBytes) {
    return Refused(tensor, StrCat("shape ", ShapeText(tensor.shape), " overflows 62 bits"));
  }
  return *size_bytes;
}

// Distributes the tensors over files; offsets count from the start of a file's data.
absl::Status Place(std::span<const PlannedTensor> tensors, uint64_t max_file_bytes,
                   SafetensorsLayout& layout) {
  std::unordered_set<std::string_view> names;
  layout.files.emplace_back();
  for (size_t i = 0; i < tensors.size(); ++i) {
    if (!names.insert(tensors[i].name).second) return Refused(tensors[i], "there twice");
    if (tensors[i].name == kMetadataKey) return Refused(tensors[i], "the name is reserved");
    ASSIGN_OR_RETURN(const uint64_t size_bytes, SizeOf(tensors[i]));
    PlannedFile* file = &layout.files.back();
    const bool is_full = size_bytes > max_file_bytes - std::min(max_file_bytes, file->size_bytes);
    if (is_full && file->tensor_count > 0) {
      file = &layout.files.emplace_back();
      file->first_tensor = i;
    }
    layout.tensors.push_back({layout.files.size() - 1, file->size_bytes, size_bytes});
    layout.total_bytes += size_bytes;
    if (layout.total_bytes > kMaxBytes) return Refused(tensors[i], "the files overflow 62 bits");
    file->size_bytes += size_bytes;
    ++file->tensor_count;
  }
  return absl::OkStatus();
}

// Length and JSON text of a file, filled up with blanks so that the data is aligned.
absl::StatusOr<std::string> HeaderOf(const PlannedFile& file,
                                     std::span<const PlannedTensor> tensors,
                                     std::span<const SafetensorsLayout::Placement> placements) {
  // What loaders look for to know whose layout of weights it is.
  std::string text = StrCat("{\"", kMetadataKey, R"(":{"format":"pt"})");
  for (size_t i = file.first_tensor; i < file.first_tensor + file.tensor_count; ++i) {
    const std::optional<std::string> name = Quoted(tensors[i].name);
    if (!name) return Refused(tensors[i], "the name is not UTF-8");
    const uint64_t begin = placements[i].offset, end = begin + placements[i].size_bytes;
    StrAppend(&text, ",", *name, R"(:{"dtype":")", RowOf(tensors[i].dtype).name, R"(","shape":[)",
              absl::StrJoin(tensors[i].shape, ","), R"(],"data_offsets":[)", begin, ",", end, "]}");
  }
  text += "}";
  text.resize(*CheckedAlignUp(text.size(), kDataAlignment), ' ');
  if (text.size() > kMaxJsonBytes) {
    return MakeError(Error::kValidationFailed,
                     StrCat(file.name, ": header of ", text.size(), " bytes for ",
                            file.tensor_count, " tensors, expected at most ", kMaxJsonBytes));
  }
  std::string header;
  for (uint64_t i = 0; i < kLengthBytes; ++i) {
    header.push_back(static_cast<char>(text.size() >> (8 * i) & 0xFF));
  }
  return header + text;
}

std::string IndexOf(std::span<const PlannedTensor> tensors, const SafetensorsLayout& layout) {
  json weight_map = json::object();
  for (size_t i = 0; i < tensors.size(); ++i) {
    weight_map[tensors[i].name] = layout.files[layout.tensors[i].file].name;
  }
  const json index = {{"metadata", {{"total_size", layout.total_bytes}}},
                      {"weight_map", std::move(weight_map)}};
  return index.dump(2) + "\n";
}

}  // namespace

absl::StatusOr<SafetensorsLayout> PlanSafetensors(std::span<const PlannedTensor> tensors,
                                                  uint64_t max_file_bytes) {
  SafetensorsLayout layout;
  RETURN_IF_ERROR(Place(tensors, max_file_bytes, layout));
  const size_t count = layout.files.size();
  if (count > kMaxFiles) {
    return MakeError(Error::kValidationFailed,
                     StrCat("found ", count, " files, expected at most ", kMaxFiles));
  }
  for (size_t f = 0; f < count; ++f) {
    PlannedFile& file = layout.files[f];
    file.name = count == 1 ? "model.safetensors"
                           : absl::StrFormat("model-%05d-of-%05d.safetensors", f + 1, count);
    ASSIGN_OR_RETURN(file.header, HeaderOf(file, tensors, layout.tensors));
    file.size_bytes += file.header.size();
  }
  for (SafetensorsLayout::Placement& placement : layout.tensors) {
    placement.offset += layout.files[placement.file].header.size();
  }
  if (count > 1) layout.index = IndexOf(tensors, layout);
  return layout;
}

}  // namespace quantized::safetensors
