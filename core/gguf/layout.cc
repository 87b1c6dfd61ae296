#include "core/gguf/layout.h"

#include <bit>
#include <limits>
#include <string_view>
#include <type_traits>
#include <unordered_set>

#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/gguf/file_header.h"
#include "core/tensor/shape.h"
#include "core/tensor/text.h"

namespace quantized::gguf {
namespace {

static_assert(std::endian::native == std::endian::little, "numbers are copied as they stand");

constexpr uint32_t kVersion = 3;
// Readers in the field hold names in 64 bytes, the final zero among them.
constexpr size_t kMaxNameBytes = 63;

template <typename T>
requires std::is_arithmetic_v<T>
void Append(std::string& out, T number) {
  out.append(reinterpret_cast<const char*>(&number), sizeof(number));
}

void Append(std::string& out, ValueType type) { Append(out, static_cast<uint32_t>(type)); }

void Append(std::string& out, Bool value) { out.push_back(static_cast<char>(value.value)); }

void Append(std::string& out, std::string_view text) {
  Append(out, static_cast<uint64_t>(text.size()));
  out.append(text);
}

void Append(std::string& out, const std::string& text) { Append(out, std::string_view(text)); }

void Append(std::string& out, const Array& array) {
  Append(out, ElementTypeOf(array));
  std::visit(
      [&](const auto& elements) {
        Append(out, static_cast<uint64_t>(elements.size()));
        for (const auto& element : elements) Append(out, element);
      },
      array);
}

void Append(std::string& out, const Metadata::Entry& entry) {
  Append(out, entry.key);
  Append(out, TypeOf(entry.value));
  std::visit([&](const auto& value) { Append(out, value); }, entry.value);
}

absl::Status Refused(const PlannedTensor& tensor, std::string_view what) {
  return MakeError(Error::kValidationFailed,
                   StrCat("tensor ", PrintableName(tensor.name), ": ", what));
}

// Places the tensors one after the other, each at a multiple of `alignment`, from offset 0 of the
// data on, and returns where the data ends.
absl::StatusOr<uint64_t> Place(std::span<const PlannedTensor> tensors, uint64_t alignment,
                               std::vector<GgufLayout::Placement>& placements) {
  std::unordered_set<std::string_view> names;
  uint64_t end = 0;
  for (const PlannedTensor& tensor : tensors) {
    if (!names.insert(tensor.name).second) return Refused(tensor, "there twice");
    if (tensor.name.size() > kMaxNameBytes) {
      return Refused(tensor, StrCat("name has ", tensor.name.size(), " bytes, at most ",
                                    kMaxNameBytes, " are possible"));
    }
    ASSIGN_OR_RETURN(const uint64_t size_bytes, TensorBytes(tensor.type, tensor.dims),
                     << "tensor " << PrintableName(tensor.name));
    placements.push_back({end, size_bytes});
    const auto tensor_end = CheckedAdd(end, size_bytes);
    const auto padded = tensor_end ? CheckedAlignUp(*tensor_end, alignment) : std::nullopt;
    // Half of what a signed file offset reaches: room for the header is left.
    if (!padded || *padded > uint64_t{std::numeric_limits<int64_t>::max() / 2}) {
      return Refused(tensor, "the file would overflow 62 bits");
    }
    end = *padded;
  }
  return end;
}

}  // namespace

absl::StatusOr<GgufLayout> Plan(const Metadata& metadata, std::span<const PlannedTensor> tensors) {
  ASSIGN_OR_RETURN(const uint64_t alignment, AlignmentOf(metadata));
  GgufLayout layout;
  ASSIGN_OR_RETURN(const uint64_t data_bytes, Place(tensors, alignment, layout.tensors));

  std::string& header = layout.header;
  header = "GGUF";
  Append(header, kVersion);
  Append(header, static_cast<uint64_t>(tensors.size()));
  Append(header, static_cast<uint64_t>(metadata.entries().size()));
  for (const Metadata::Entry& entry : metadata.entries()) Append(header, entry);
  for (size_t i = 0; i < tensors.size(); ++i) {
    Append(header, tensors[i].name);
    Append(header, static_cast<uint32_t>(tensors[i].dims.size()));
    for (const uint64_t dim : tensors[i].dims) Append(header, dim);
    Append(header, static_cast<uint32_t>(tensors[i].type));
    Append(header, layout.tensors[i].offset);
  }
  layout.data_start = *CheckedAlignUp(header.size(), alignment);
  header.resize(layout.data_start, '\0');
  for (GgufLayout::Placement& placement : layout.tensors) placement.offset += layout.data_start;
  layout.file_size_bytes = layout.data_start + data_bytes;
  return layout;
}

}  // namespace quantized::gguf
