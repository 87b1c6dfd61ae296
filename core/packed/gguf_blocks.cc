#include "core/packed/gguf_blocks.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/str_cat.h"
#include "core/tensor/text.h"
#include "kernels/q4_0/q4_0.h"
#include "kernels/q4_1/q4_1.h"
#include "kernels/q5_0/q5_0.h"
#include "kernels/q8_0/q8_0.h"
#include "kernels/types/half.h"

namespace quantized {
namespace {

using kernels::F16ToF32;
using kernels::F32ToF16;
using kernels::TypeId;

constexpr size_t kBlock = 32;
constexpr float kLargestHalf = 65504.0f;

// Types whose value is d * (q - offset), q from 0 to 2^bits - 1.
struct SymmetricType {
  TypeId type;
  int offset;
  int bits;
};
constexpr SymmetricType kSymmetric[] = {
    {TypeId::kQ4_0, 8, 4}, {TypeId::kQ5_0, 16, 5}, {TypeId::kQ8_0, 128, 8}};

constexpr std::array kTypes = {TypeId::kQ4_0, TypeId::kQ4_1, TypeId::kQ5_0, TypeId::kQ8_0};

const SymmetricType* FindSymmetric(TypeId type) {
  const auto row = std::ranges::find(kSymmetric, type, &SymmetricType::type);
  return row == std::end(kSymmetric) ? nullptr : row;
}

bool IsHalf(float value) { return F16ToF32(F32ToF16(value)) == value; }

float Minimum(float scale, uint8_t zero) { return -static_cast<float>(zero) * scale; }

// The codes of a block, moved by `shift`.
void TakeCodes(const uint8_t* codes, int shift, uint8_t* out) {
  for (size_t j = 0; j < kBlock; ++j) out[j] = static_cast<uint8_t>(codes[j] + shift);
}

template <class Block>
void WriteNibbles(const uint8_t* codes, float scale, std::byte* out) {
  Block block;
  block.d = F32ToF16(scale);
  kernels::PackNibbles(codes, block);
  std::memcpy(out, &block, sizeof(block));
}

void WriteQ4_1(const uint8_t* codes, float scale, uint8_t zero, std::byte* out) {
  kernels::BlockQ4_1 block;
  block.d = F32ToF16(scale);
  block.m = F32ToF16(Minimum(scale, zero));
  kernels::PackNibbles(codes, block);
  std::memcpy(out, &block, sizeof(block));
}

void WriteQ8_0(const uint8_t* codes, float scale, std::byte* out) {
  kernels::BlockQ8_0 block;
  block.d = F32ToF16(scale);
  for (size_t j = 0; j < kBlock; ++j) block.q[j] = static_cast<int8_t>(codes[j] ^ 0x80);
  std::memcpy(out, &block, sizeof(block));
}

void WriteBlock(TypeId type, const uint8_t* codes, float scale, uint8_t zero, std::byte* out) {
  if (type == TypeId::kQ4_1) return WriteQ4_1(codes, scale, zero, out);
  uint8_t moved[kBlock];
  TakeCodes(codes, FindSymmetric(type)->offset - zero, moved);
  if (type == TypeId::kQ4_0) return WriteNibbles<kernels::BlockQ4_0>(moved, scale, out);
  if (type == TypeId::kQ5_0) return WriteNibbles<kernels::BlockQ5_0>(moved, scale, out);
  WriteQ8_0(moved, scale, out);
}

// Codes of a block, as the type has them, and its scale.
template <class Block>
float ReadNibbles(const std::byte* in, uint8_t* codes) {
  Block block;
  std::memcpy(&block, in, sizeof(block));
  uint32_t high = 0;
  if constexpr (requires { block.high; }) std::memcpy(&high, block.high, sizeof(high));
  for (size_t j = 0; j < kBlock / 2; ++j) {
    codes[j] = static_cast<uint8_t>((block.nibbles[j] & 15) | (high >> j & 1) << 4);
    codes[j + 16] = static_cast<uint8_t>(block.nibbles[j] >> 4 | (high >> (j + 16) & 1) << 4);
  }
  return F16ToF32(block.d);
}

float ReadBlock(TypeId type, const std::byte* in, uint8_t* codes) {
  if (type == TypeId::kQ4_0) return ReadNibbles<kernels::BlockQ4_0>(in, codes);
  if (type == TypeId::kQ5_0) return ReadNibbles<kernels::BlockQ5_0>(in, codes);
  kernels::BlockQ8_0 block;
  std::memcpy(&block, in, sizeof(block));
  for (size_t j = 0; j < kBlock; ++j) codes[j] = static_cast<uint8_t>(block.q[j]) ^ 0x80;
  return F16ToF32(block.d);
}

uint8_t NearestZero(float d, float m, int max_code) {
  if (d == 0) return 0;
  return static_cast<uint8_t>(std::clamp(std::round(-double{m} / d), 0.0, double(max_code)));
}

// The s, as a float16, for which the sum over j of (d q_j + m - s (q_j - zero))² is least.
float FittedScale(const uint8_t* codes, float d, float m, uint8_t zero) {
  double product = 0, square = 0;
  for (size_t j = 0; j < kBlock; ++j) {
    const double value = double{d} * codes[j] + m, step = codes[j] - zero;
    product += value * step;
    square += step * step;
  }
  const double scale = square > 0 ? product / square : 0;
  const double limit = kLargestHalf;
  return F16ToF32(F32ToF16(static_cast<float>(std::clamp(scale, -limit, limit))));
}

absl::Status NotFinite(std::string_view module, size_t block, std::string_view what, float found) {
  return MakeError(Error::kValidationFailed,
                   StrCat(PrintableName(module), ": block ", block, ": found ", what, " ", found,
                          ", expected a finite one"),
                   "Check that the GGUF file is whole, or use the original model");
}

BlockFitting No(std::string why) { return {BlockFit::kNone, std::move(why)}; }

BlockFitting FitOfMinimum(const QuantizedLinear& grid) {
  if (grid.bits > 4) return No(StrCat("codes have ", grid.bits, " bits"));
  BlockFitting fitting = {BlockFit::kExact, ""};
  for (size_t i = 0; i < grid.zeros.size(); ++i) {
    const float minimum = Minimum(grid.scales.values[i], grid.zeros[i]);
    if (std::abs(minimum) > kLargestHalf) return No("a minimum is beyond float16");
    if (!IsHalf(minimum)) fitting = {BlockFit::kRounded, "minima have more bits than float16"};
  }
  return fitting;
}

}  // namespace

std::span<const TypeId> BlockTypes() { return kTypes; }

BlockFitting FitOf(const QuantizedLinear& grid, TypeId type) {
  if (!grid.group_of.empty()) return No("channels are in groups by their activations (act-order)");
  if (grid.group_size % kBlock != 0) {
    return No(StrCat("groups have ", grid.group_size, " weights, no multiple of ", kBlock));
  }
  if (!std::ranges::all_of(grid.scales.values, IsHalf)) return No("a scale is no float16");
  if (type == TypeId::kQ4_1) return FitOfMinimum(grid);
  const SymmetricType* row = FindSymmetric(type);
  if (row == nullptr) return No(StrCat(kernels::QuantTypeOf(type).name, " has other grids"));
  const int last = (1 << row->bits) - 1;
  const auto [least, greatest] = std::ranges::minmax(grid.zeros);
  if (row->offset - greatest < 0 || grid.max_code() + row->offset - least > last) {
    return No(StrCat("zero points go from ", int{least}, " to ", int{greatest}, ", codes to ",
                     int{grid.max_code()}));
  }
  return {BlockFit::kExact, ""};
}

void WriteBlocks(const QuantizedLinear& linear, TypeId type, size_t first_row, size_t row_count,
                 std::byte* out) {
  CHECK(first_row <= linear.out && row_count <= linear.out - first_row);
  const size_t block_bytes = kernels::QuantTypeOf(type).block_bytes;
  for (size_t row = first_row; row < first_row + row_count; ++row) {
    const uint8_t* codes = linear.codes.data() + row * linear.in;
    for (size_t i = 0; i < linear.in; i += kBlock, out += block_bytes) {
      const size_t group = i / linear.group_size;
      WriteBlock(type, codes + i, linear.scales.row(row)[group],
                 linear.zeros[row * linear.groups() + group], out);
    }
  }
}

bool CodesHold(TypeId type, int bits) {
  const SymmetricType* row = FindSymmetric(type);
  return row != nullptr && row->bits <= bits;
}

absl::StatusOr<QuantizedLinear> ReadBlocks(std::string_view module, TypeId type,
                                           std::span<const std::byte> blocks, size_t out, size_t in,
                                           int bits) {
  CHECK(CodesHold(type, bits) && in % kBlock == 0);
  const size_t block_bytes = kernels::QuantTypeOf(type).block_bytes;
  CHECK(blocks.size() == out * (in / kBlock) * block_bytes);
  QuantizedLinear linear = {.out = out, .in = in, .group_size = kBlock, .bits = bits};
  const uint8_t zero = static_cast<uint8_t>(1u << (bits - 1));
  const int shift = zero - FindSymmetric(type)->offset;
  linear.codes.resize(out * in);
  linear.scales = Matrix(out, linear.groups());
  linear.zeros.assign(out * linear.groups(), zero);
  for (size_t i = 0; i < linear.zeros.size(); ++i) {
    uint8_t codes[kBlock];
    const float scale = ReadBlock(type, blocks.data() + i * block_bytes, codes);
    if (!std::isfinite(scale)) return NotFinite(module, i, "scale", scale);
    linear.scales.values[i] = scale;
    TakeCodes(codes, shift, linear.codes.data() + i * kBlock);
  }
  return linear;
}

bool HasMinima(TypeId type) { return type == TypeId::kQ4_1; }

absl::StatusOr<QuantizedLinear> FitMinimumBlocks(std::string_view module, TypeId type,
                                                 std::span<const std::byte> blocks, size_t out,
                                                 size_t in) {
  using Block = kernels::BlockQ4_1;
  CHECK(HasMinima(type) && in % kBlock == 0);
  CHECK(blocks.size() == out * (in / kBlock) * sizeof(Block));
  QuantizedLinear linear = {.out = out, .in = in, .group_size = kBlock, .bits = 4};
  linear.codes.resize(out * in);
  linear.scales = Matrix(out, linear.groups());
  linear.zeros.resize(out * linear.groups());
  for (size_t i = 0; i < linear.zeros.size(); ++i) {
    const std::byte* from = blocks.data() + i * sizeof(Block);
    uint8_t* codes = linear.codes.data() + i * kBlock;
    const float d = ReadNibbles<Block>(from, codes);
    Block block;
    std::memcpy(&block, from, sizeof(block));
    const float m = F16ToF32(block.m);
    if (!std::isfinite(d)) return NotFinite(module, i, "scale", d);
    if (!std::isfinite(m)) return NotFinite(module, i, "minimum", m);
    linear.zeros[i] = NearestZero(d, m, linear.max_code());
    linear.scales.values[i] = FittedScale(codes, d, m, linear.zeros[i]);
  }
  return linear;
}

}  // namespace quantized
