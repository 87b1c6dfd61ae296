#include "core/packed/gptq.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/packed/bit_stream.h"
#include "core/tensor/shape.h"
#include "core/tensor/text.h"

namespace quantized {
namespace {

constexpr std::string_view kQweight = "qweight", kQzeros = "qzeros", kScales = "scales",
                           kGIdx = "g_idx";
// No real layer comes near; below it no product of two sizes overflows.
constexpr uint64_t kMaxSize = std::numeric_limits<int32_t>::max();

// The zero points as stored: [groups, out].
absl::StatusOr<std::vector<uint8_t>> StoredZeros(std::string_view module,
                                                 const QuantizedLinear& linear,
                                                 GptqVersion version) {
  std::vector<uint8_t> stored = Transposed(linear.zeros, linear.out, linear.groups());
  if (version == GptqVersion::kV2) return stored;
  const auto none = std::ranges::find(stored, 0);
  if (none != stored.end()) {
    const auto at = static_cast<size_t>(none - stored.begin());
    return MakeError(
        Error::kInvalidArgument,
        StrCat("tensor ", PrintableName(module), ".qzeros: group ", at / linear.out, " of output ",
               at % linear.out, ": found zero point 0, expected one from 1 on in version 1"));
  }
  for (uint8_t& zero : stored) --zero;
  return stored;
}

std::vector<uint32_t> GroupIndex(const QuantizedLinear& linear) {
  if (!linear.group_of.empty()) return linear.group_of;
  std::vector<uint32_t> groups(linear.in);
  for (size_t i = 0; i < linear.in; ++i) groups[i] = static_cast<uint32_t>(i / linear.group_size);
  return groups;
}

// Sizes that qweight and scales agree on.
struct Sizes {
  size_t out, in, groups;
};

absl::StatusOr<Sizes> SizesOf(std::string_view module, std::span<const PackedTensor> tensors,
                              const GptqForm& form) {
  for (const std::string_view suffix : {kQweight, kScales}) {
    const PackedTensor* tensor = FindSuffix(tensors, suffix);
    if (tensor == nullptr) return DamagedTensor(module, suffix, "missing");
    const std::vector<uint64_t>& dims = tensor->shape.dims;
    if (dims.size() != 2 ||
        std::ranges::any_of(dims, [](uint64_t dim) { return dim == 0 || dim > kMaxSize; })) {
      return DamagedTensor(
          module, suffix,
          StrCat("found shape ", ShapeText(dims), ", expected two sizes from 1 to ", kMaxSize));
    }
  }
  const std::vector<uint64_t>& words = FindSuffix(tensors, kQweight)->shape.dims;
  const auto bits = static_cast<uint64_t>(form.bits);
  if (words[0] % bits != 0 || words[0] / bits > kMaxSize / 32) {
    return DamagedTensor(
        module, kQweight,
        StrCat("found ", words[0], " rows of words, expected a multiple of ", bits));
  }
  const uint64_t out = words[1], in = words[0] / bits * 32;
  if (out % 32 != 0) {
    return DamagedTensor(module, kQweight,
                         StrCat("found ", out, " columns, expected a multiple of 32"));
  }
  const bool is_whole_row = form.group_size == -1;
  const uint64_t group_size = is_whole_row ? in : static_cast<uint64_t>(form.group_size);
  if (form.group_size < -1 || form.group_size == 0 || in % group_size != 0) {
    return DamagedTensor(module, kQweight,
                         StrCat("found input size ", in, " with group size ", form.group_size,
                                ", expected a multiple of it"));
  }
  return Sizes{out, in, in / group_size};
}

// g_idx as groups; empty where channel i is in group i / group_size.
absl::StatusOr<std::vector<uint32_t>> GroupsOf(std::string_view module, const PackedTensor& g_idx,
                                               const Sizes& sizes) {
  std::vector<uint32_t> groups(sizes.in);
  std::memcpy(groups.data(), g_idx.bytes.data(), g_idx.bytes.size());
  bool is_natural = true;
  for (size_t i = 0; i < sizes.in; ++i) {
    if (groups[i] >= sizes.groups) {
      return DamagedTensor(module, kGIdx,
                           StrCat("channel ", i, ": found group ", static_cast<int32_t>(groups[i]),
                                  ", expected one from 0 to ", sizes.groups - 1));
    }
    is_natural = is_natural && groups[i] == i / (sizes.in / sizes.groups);
  }
  if (is_natural) groups.clear();
  return groups;
}

// [out, groups] out of qzeros.
absl::StatusOr<std::vector<uint8_t>> ZerosOf(std::string_view module, const PackedTensor& qzeros,
                                             const Sizes& sizes, const GptqForm& form) {
  std::vector<uint8_t> stored(sizes.groups * sizes.out);
  UnpackStream(qzeros.bytes.data(), form.bits, stored);
  if (form.version == GptqVersion::kV1) {
    const auto max = static_cast<uint8_t>((1u << form.bits) - 1);
    const auto wrapped = std::ranges::find(stored, max);
    if (wrapped != stored.end()) {
      const auto at = static_cast<size_t>(wrapped - stored.begin());
      return MakeError(Error::kUnsupportedConversion,
                       StrCat("tensor ", PrintableName(module), ".qzeros: group ", at / sizes.out,
                              " of output ", at % sizes.out, ": found ", static_cast<int>(max),
                              ", which loaders of version 1 read as zero point 0 or as ", max + 1),
                       "Quantize the original model again, or use a version 2 checkpoint");
    }
    for (uint8_t& zero : stored) ++zero;
  }
  return Transposed(stored, sizes.groups, sizes.out);
}

}  // namespace

std::vector<PackedShape> GptqShapes(size_t out, size_t in, size_t group_size, int bits) {
  const auto width = static_cast<size_t>(bits);
  const size_t groups = in / group_size;
  return {{kQweight, DType::kI32, {in / 32 * width, out}},
          {kQzeros, DType::kI32, {groups, out / 32 * width}},
          {kScales, DType::kF16, {groups, out}},
          {kGIdx, DType::kI32, {in}}};
}

absl::StatusOr<std::vector<PackedTensor>> PackGptq(std::string_view module,
                                                   const QuantizedLinear& linear,
                                                   GptqVersion version) {
  RETURN_IF_ERROR(CheckPackable(module, linear));
  std::vector<PackedTensor> tensors;
  for (PackedShape& shape : GptqShapes(linear.out, linear.in, linear.group_size, linear.bits)) {
    tensors.push_back(EmptyTensor(std::move(shape)));
  }
  PackedTensor &qweight = tensors[0], &qzeros = tensors[1], &scales = tensors[2],
               &g_idx = tensors[3];
  ASSIGN_OR_RETURN(const std::vector<uint8_t> zeros, StoredZeros(module, linear, version));
  PackColumns(linear.codes.data(), linear.out, linear.in, linear.bits, qweight.bytes.data());
  PackStream(zeros, linear.bits, qzeros.bytes.data());
  RETURN_IF_ERROR(PackScales(module, linear.scales, scales));
  const std::vector<uint32_t> groups = GroupIndex(linear);
  std::memcpy(g_idx.bytes.data(), groups.data(), g_idx.bytes.size());
  return tensors;
}

absl::StatusOr<QuantizedLinear> UnpackGptqGrid(std::string_view module,
                                               std::span<const PackedTensor> tensors,
                                               const GptqForm& form) {
  if (!IsStreamBits(form.bits)) {
    return DamagedTensor(module, kQweight,
                         StrCat("found codes of ", form.bits, " bits, expected 2, 3, 4 or 8"));
  }
  ASSIGN_OR_RETURN(const Sizes sizes, SizesOf(module, tensors, form));
  const size_t group_size = sizes.in / sizes.groups;
  std::vector<PackedShape> expected = GptqShapes(sizes.out, sizes.in, group_size, form.bits);
  // bfloat16 is rare, but loaders take it.
  if (FindSuffix(tensors, kScales)->shape.dtype == DType::kBF16) expected[2].dtype = DType::kBF16;
  ASSIGN_OR_RETURN(const PackedTensor* qzeros, TensorLike(module, tensors, expected[1]));
  ASSIGN_OR_RETURN(const PackedTensor* scales, TensorLike(module, tensors, expected[2]));

  QuantizedLinear linear = {
      .out = sizes.out, .in = sizes.in, .group_size = group_size, .bits = form.bits};
  if (FindSuffix(tensors, kGIdx) != nullptr) {
    ASSIGN_OR_RETURN(const PackedTensor* g_idx, TensorLike(module, tensors, expected[3]));
    ASSIGN_OR_RETURN(linear.group_of, GroupsOf(module, *g_idx, sizes));
  }
  ASSIGN_OR_RETURN(linear.zeros, ZerosOf(module, *qzeros, sizes, form));
  ASSIGN_OR_RETURN(linear.scales, UnpackScales(module, *scales));
  return linear;
}

absl::StatusOr<QuantizedLinear> UnpackGptq(std::string_view module,
                                           std::span<const PackedTensor> tensors,
                                           const GptqForm& form) {
  ASSIGN_OR_RETURN(QuantizedLinear linear, UnpackGptqGrid(module, tensors, form));
  ASSIGN_OR_RETURN(
      const PackedTensor* qweight,
      TensorLike(module, tensors,
                 GptqShapes(linear.out, linear.in, linear.group_size, linear.bits)[0]));
  linear.codes.resize(linear.out * linear.in);
  UnpackColumns(qweight->bytes.data(), linear.out, linear.in, form.bits, linear.codes.data());
  return linear;
}

std::optional<GptqVersion> SymmetricVersion(const PackedTensor& qzeros, int bits) {
  const size_t block = 4 * static_cast<size_t>(bits);  // bytes of 32 codes
  if (!IsStreamBits(bits) || qzeros.bytes.empty() || qzeros.bytes.size() % block != 0) {
    return std::nullopt;
  }
  std::vector<uint8_t> stored(qzeros.bytes.size() / block * 32);
  UnpackStream(qzeros.bytes.data(), bits, stored);
  const auto middle = static_cast<uint8_t>(1u << (bits - 1));
  if (std::ranges::count(stored, middle) == std::ssize(stored)) return GptqVersion::kV2;
  if (std::ranges::count(stored, middle - 1) == std::ssize(stored)) return GptqVersion::kV1;
  return std::nullopt;
}

}  // namespace quantized
