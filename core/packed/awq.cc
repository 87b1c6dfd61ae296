#include "core/packed/awq.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <utility>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/tensor/shape.h"
#include "core/tensor/text.h"

namespace quantized {
namespace {

static_assert(std::endian::native == std::endian::little, "words are copied as they stand");

constexpr std::string_view kQweight = "qweight", kQzeros = "qzeros", kScales = "scales";
constexpr int kBits = 4;
constexpr size_t kPerWord = 8;  // codes of neighbouring outputs
// Nibble i (shift 4 * i) of a word holds output kOutputOf[i] of its eight.
constexpr size_t kOutputOf[kPerWord] = {0, 2, 4, 6, 1, 3, 5, 7};
// Words and inputs that are moved at a time: what a tile touches stays in the first cache.
constexpr size_t kTileWords = 16, kTileInputs = 64, kLanes = 8;
constexpr uint64_t kNibbles = 0x0F0F0F0F0F0F0F0F;
constexpr uint64_t kMaxSize = std::numeric_limits<int32_t>::max();

uint64_t Load(const uint8_t* from) {
  uint64_t lanes;
  std::memcpy(&lanes, from, sizeof(lanes));
  return lanes;
}

// Bytes 0..7 of each of four lanes become bytes 0..3 of eight words, and back.
void Interleave(const uint64_t (&lanes)[4], uint32_t (&words)[kLanes]) {
  for (size_t j = 0; j < kLanes; ++j) {
    uint32_t word = 0;
    for (size_t k = 0; k < 4; ++k) {
      word |= static_cast<uint32_t>(lanes[k] >> (8 * j) & 0xFF) << (8 * k);
    }
    words[j] = word;
  }
}

void Deinterleave(const uint32_t (&words)[kLanes], uint64_t (&lanes)[4]) {
  for (size_t k = 0; k < 4; ++k) {
    lanes[k] = 0;
    for (size_t j = 0; j < kLanes; ++j) {
      lanes[k] |= static_cast<uint64_t>(words[j] >> (8 * k) & 0xFF) << (8 * j);
    }
  }
}

// Codes [out, in] into words [in, out / 8]. Any `in`.
void PackWords(const uint8_t* codes, size_t out, size_t in, std::byte* to) {
  const size_t words_per_input = out / kPerWord;
  uint64_t seen = 0;
  for (size_t first = 0; first < words_per_input; first += kTileWords) {
    const size_t width = std::min(kTileWords, words_per_input - first);
    for (size_t i = 0; i < in; i += kTileInputs) {
      const size_t inputs = std::min(kTileInputs, in - i);
      uint32_t tile[kTileInputs][kTileWords];
      for (size_t w = 0; w < width; ++w) {
        // A copy, so that eight inputs can be loaded at the edge, too.
        uint8_t rows[kPerWord][kTileInputs] = {};
        for (size_t r = 0; r < kPerWord; ++r) {
          std::memcpy(rows[r], codes + ((first + w) * kPerWord + r) * in + i, inputs);
        }
        for (size_t j = 0; j < inputs; j += kLanes) {
          uint64_t lanes[4];
          for (size_t k = 0; k < 4; ++k) {
            const uint64_t low = Load(rows[kOutputOf[2 * k]] + j);
            const uint64_t high = Load(rows[kOutputOf[2 * k + 1]] + j);
            seen |= low | high;
            lanes[k] = low | high << 4;
          }
          uint32_t words[kLanes];
          Interleave(lanes, words);
          for (size_t l = 0; l < kLanes; ++l) tile[j + l][w] = words[l];
        }
      }
      for (size_t j = 0; j < inputs; ++j) {
        std::memcpy(to + ((i + j) * words_per_input + first) * sizeof(uint32_t), tile[j],
                    width * sizeof(uint32_t));
      }
    }
  }
  CHECK((seen & ~kNibbles) == 0);
}

void UnpackWords(const std::byte* from, size_t out, size_t in, uint8_t* codes) {
  const size_t words_per_input = out / kPerWord;
  for (size_t first = 0; first < words_per_input; first += kTileWords) {
    const size_t width = std::min(kTileWords, words_per_input - first);
    for (size_t i = 0; i < in; i += kTileInputs) {
      const size_t inputs = std::min(kTileInputs, in - i);
      uint32_t tile[kTileInputs][kTileWords] = {};
      for (size_t j = 0; j < inputs; ++j) {
        std::memcpy(tile[j], from + ((i + j) * words_per_input + first) * sizeof(uint32_t),
                    width * sizeof(uint32_t));
      }
      for (size_t w = 0; w < width; ++w) {
        uint8_t rows[kPerWord][kTileInputs];
        for (size_t j = 0; j < inputs; j += kLanes) {
          uint32_t words[kLanes];
          for (size_t l = 0; l < kLanes; ++l) words[l] = tile[j + l][w];
          uint64_t lanes[4];
          Deinterleave(words, lanes);
          for (size_t k = 0; k < 4; ++k) {
            const uint64_t low = lanes[k] & kNibbles, high = lanes[k] >> 4 & kNibbles;
            std::memcpy(rows[kOutputOf[2 * k]] + j, &low, sizeof(low));
            std::memcpy(rows[kOutputOf[2 * k + 1]] + j, &high, sizeof(high));
          }
        }
        for (size_t r = 0; r < kPerWord; ++r) {
          std::memcpy(codes + ((first + w) * kPerWord + r) * in + i, rows[r], inputs);
        }
      }
    }
  }
}

struct Sizes {
  size_t out, in, group_size;
};

absl::StatusOr<Sizes> SizesOf(std::string_view module, std::span<const PackedTensor> tensors,
                              int64_t group_size) {
  const PackedTensor* qweight = FindSuffix(tensors, kQweight);
  if (qweight == nullptr) return DamagedTensor(module, kQweight, "missing");
  const std::vector<uint64_t>& dims = qweight->shape.dims;
  if (dims.size() != 2 || dims[0] == 0 || dims[1] == 0 || dims[0] > kMaxSize ||
      dims[1] > kMaxSize / kPerWord) {
    return DamagedTensor(
        module, kQweight,
        StrCat("found shape ", ShapeText(dims), ", expected [inputs, outputs / 8]"));
  }
  const uint64_t in = dims[0];
  const uint64_t resolved = group_size == -1 ? in : static_cast<uint64_t>(group_size);
  if (group_size < -1 || group_size == 0 || in % resolved != 0) {
    return DamagedTensor(module, kQweight,
                         StrCat("found input size ", in, " with group size ", group_size,
                                ", expected a multiple of it"));
  }
  return Sizes{dims[1] * kPerWord, in, resolved};
}

}  // namespace

std::vector<PackedShape> AwqShapes(size_t out, size_t in, size_t group_size) {
  const size_t groups = in / group_size;
  return {{kQweight, DType::kI32, {in, out / kPerWord}},
          {kQzeros, DType::kI32, {groups, out / kPerWord}},
          {kScales, DType::kF16, {groups, out}}};
}

absl::StatusOr<std::vector<PackedTensor>> PackAwq(std::string_view module,
                                                  const QuantizedLinear& linear) {
  RETURN_IF_ERROR(CheckPackable(module, linear));
  if (linear.bits != kBits || !linear.group_of.empty()) {
    return MakeError(
        Error::kInvalidArgument,
        StrCat(PrintableName(module), ": found codes of ", linear.bits, " bits in ",
               linear.group_of.empty() ? "natural" : "reordered",
               " groups, expected 4 bits and natural groups, which are all that AWQ has"));
  }
  std::vector<PackedTensor> tensors;
  for (PackedShape& shape : AwqShapes(linear.out, linear.in, linear.group_size)) {
    tensors.push_back(EmptyTensor(std::move(shape)));
  }
  PackWords(linear.codes.data(), linear.out, linear.in, tensors[0].bytes.data());
  PackWords(linear.zeros.data(), linear.out, linear.groups(), tensors[1].bytes.data());
  RETURN_IF_ERROR(PackScales(module, linear.scales, tensors[2]));
  return tensors;
}

absl::StatusOr<QuantizedLinear> UnpackAwqGrid(std::string_view module,
                                              std::span<const PackedTensor> tensors,
                                              int64_t group_size) {
  ASSIGN_OR_RETURN(const Sizes sizes, SizesOf(module, tensors, group_size));
  std::vector<PackedShape> expected = AwqShapes(sizes.out, sizes.in, sizes.group_size);
  const PackedTensor* found_scales = FindSuffix(tensors, kScales);
  if (found_scales != nullptr && found_scales->shape.dtype == DType::kBF16) {
    expected[2].dtype = DType::kBF16;
  }
  ASSIGN_OR_RETURN(const PackedTensor* qzeros, TensorLike(module, tensors, expected[1]));
  ASSIGN_OR_RETURN(const PackedTensor* scales, TensorLike(module, tensors, expected[2]));

  QuantizedLinear linear = {
      .out = sizes.out, .in = sizes.in, .group_size = sizes.group_size, .bits = kBits};
  ASSIGN_OR_RETURN(linear.scales, UnpackScales(module, *scales));
  linear.zeros.resize(sizes.out * linear.groups());
  UnpackWords(qzeros->bytes.data(), sizes.out, linear.groups(), linear.zeros.data());
  return linear;
}

absl::StatusOr<QuantizedLinear> UnpackAwq(std::string_view module,
                                          std::span<const PackedTensor> tensors,
                                          int64_t group_size) {
  ASSIGN_OR_RETURN(QuantizedLinear linear, UnpackAwqGrid(module, tensors, group_size));
  ASSIGN_OR_RETURN(
      const PackedTensor* qweight,
      TensorLike(module, tensors, AwqShapes(linear.out, linear.in, linear.group_size)[0]));
  linear.codes.resize(linear.out * linear.in);
  UnpackWords(qweight->bytes.data(), linear.out, linear.in, linear.codes.data());
  return linear;
}

}  // namespace quantized
