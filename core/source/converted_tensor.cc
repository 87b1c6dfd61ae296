#include "core/source/converted_tensor.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "core/base/check.h"
#include "core/base/status_macros.h"
#include "core/source/widen.h"
#include "core/tensor/dtype.h"
#include "kernels/codecs/codec.h"
#include "kernels/types/half.h"

namespace quantized {
namespace {

using kernels::TypeId;

constexpr uint64_t kPieceBytes = 256 << 10;  // of the source, read at once
constexpr size_t kPieceValues = 4096;        // converted at once

uint32_t ValueBytes(TypeId type) { return kernels::QuantTypeOf(type).block_bytes; }

uint64_t RowBytes(TypeId type, uint64_t cols) {
  return kernels::RowBytes(kernels::QuantTypeOf(type), cols);
}

void AddOne(DType dtype, std::span<float> values) {
  for (float& value : values) {
    value += 1.0f;
    // An F16 tensor stays F16 through the sum: it is rounded here, before it is widened again.
    if (dtype == DType::kF16) value = kernels::F16ToF32(kernels::F32ToF16(value));
  }
}

// Values at `in`, of `dtype`, to `type` at `out`.
void Convert(DType dtype, bool add_one, const std::byte* in, uint64_t count, TypeId type,
             std::byte* out) {
  const kernels::EncodeRows encode = kernels::BestEncoder(*kernels::FindCodec(type));
  std::array<float, kPieceValues> piece;
  while (count > 0) {
    const size_t size = std::min<uint64_t>(count, piece.size());
    WidenToF32(dtype, in, size, piece.data());
    if (add_one) AddOne(dtype, std::span(piece).first(size));
    encode(piece.data(), nullptr, 1, size, out);
    in += size * RowOf(dtype).size_bytes;
    out += size * ValueBytes(type);
    count -= size;
  }
}

// Whether the bytes of the checkpoint are the bytes that are asked for.
bool IsSame(const CheckpointTensor& source, TypeId type) {
  if (source.blocks) return *source.blocks == type;
  return (source.dtype == DType::kF32 && type == TypeId::kF32) ||
         (source.dtype == DType::kF16 && type == TypeId::kF16);
}

class RowReader {
 public:
  RowReader(const ConvertedTensor& tensor, const CheckpointTensor& source)
      : tensor_(tensor),
        source_(source),
        in_row_bytes_(source.blocks ? RowBytes(*source.blocks, tensor.cols)
                                    : tensor.cols * RowOf(source.dtype).size_bytes),
        out_row_bytes_(RowBytes(tensor.type, tensor.cols)),
        rows_at_once_(std::max<uint64_t>(1, kPieceBytes / in_row_bytes_)) {}

  // Rows that lie one after the other in the checkpoint.
  absl::Status Run(uint64_t first, uint64_t count, std::byte* out) {
    const bool add_one = tensor_.transform == Transform::kAddOne;
    if (IsSame(source_, tensor_.type) && !add_one) {
      return source_.read(first * in_row_bytes_, {out, count * in_row_bytes_});
    }
    while (count > 0) {
      const uint64_t rows = std::min(count, rows_at_once_);
      ASSIGN_OR_RETURN(const std::byte* bytes, Piece(first, rows));
      Convert(source_.dtype, add_one, bytes, rows * tensor_.cols, tensor_.type, out);
      out += rows * out_row_bytes_;
      first += rows;
      count -= rows;
    }
    return absl::OkStatus();
  }

  // Row 2j + s of a head is the checkpoint's row s * d/2 + j of that head, d rows to a head.
  absl::Status Interleaved(uint64_t first, uint64_t count, std::byte* out) {
    const uint64_t depth = tensor_.rows / tensor_.heads, half = depth / 2;
    const uint64_t end = first + count;
    while (first < end) {
      const uint64_t head = first / depth * depth;  // its first row
      const uint64_t begin = first - head, stop = std::min(end - head, depth);
      for (const uint64_t s : {0, 1}) {
        const uint64_t j_begin = (begin + 1 - s) / 2, j_end = (stop + 1 - s) / 2;
        const uint64_t out_row = 2 * j_begin + s - begin;
        RETURN_IF_ERROR(
            Spread(head + s * half + j_begin, j_end - j_begin, out + out_row * out_row_bytes_));
      }
      out += (stop - begin) * out_row_bytes_;
      first = head + stop;
    }
    return absl::OkStatus();
  }

 private:
  absl::StatusOr<const std::byte*> Piece(uint64_t first, uint64_t count) {
    const uint64_t size_bytes = count * in_row_bytes_;
    if (piece_.size() < size_bytes) piece_.resize(size_bytes);
    RETURN_IF_ERROR(source_.read(first * in_row_bytes_, std::span(piece_).first(size_bytes)));
    return piece_.data();
  }

  // Rows that lie one after the other in the checkpoint, to every second row of the output.
  absl::Status Spread(uint64_t first, uint64_t count, std::byte* out) {
    while (count > 0) {
      const uint64_t rows = std::min(count, rows_at_once_);
      ASSIGN_OR_RETURN(const std::byte* bytes, Piece(first, rows));
      for (uint64_t row = 0; row < rows; ++row, out += 2 * out_row_bytes_) {
        if (IsSame(source_, tensor_.type)) {
          std::memcpy(out, bytes + row * in_row_bytes_, in_row_bytes_);
        } else {
          Convert(source_.dtype, /*add_one=*/false, bytes + row * in_row_bytes_, tensor_.cols,
                  tensor_.type, out);
        }
      }
      first += rows;
      count -= rows;
    }
    return absl::OkStatus();
  }

  const ConvertedTensor& tensor_;
  const CheckpointTensor& source_;
  const uint64_t in_row_bytes_, out_row_bytes_;
  const uint64_t rows_at_once_;
  std::vector<std::byte> piece_;
};

}  // namespace

absl::Status ConvertedTensor::Read(uint64_t first, uint64_t count, std::span<std::byte> out) const {
  CHECK(first <= rows && count <= rows - first);
  CHECK(out.size() == count * RowBytes(type, cols));
  if (out.empty()) return absl::OkStatus();
  if (sources.empty()) {
    CHECK(type == TypeId::kF32);
    std::memcpy(out.data(), generated.data() + first * cols, out.size());
    return absl::OkStatus();
  }
  const bool interleaved =
      transform == Transform::kInterleaveQuery || transform == Transform::kInterleaveKey;
  if (interleaved) {
    CHECK(sources.size() == 1);
    return RowReader(*this, sources[0]).Interleaved(first, count, out.data());
  }
  if (sources.size() == 1) return RowReader(*this, sources[0]).Run(first, count, out.data());
  const uint64_t part_rows = rows / sources.size();
  while (count > 0) {
    const uint64_t begin = first % part_rows, taken = std::min(count, part_rows - begin);
    RETURN_IF_ERROR(RowReader(*this, sources[first / part_rows]).Run(begin, taken, out.data()));
    out = out.subspan(taken * RowBytes(type, cols));
    first += taken;
    count -= taken;
  }
  return absl::OkStatus();
}

}  // namespace quantized
