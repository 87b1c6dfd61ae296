#include "core/pipeline/encode.h"

#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/pipeline/slices.h"
#include "kernels/codecs/codec.h"

namespace quantized {
namespace {

using kernels::Codec;
using kernels::FindCodec;
using kernels::QuantTypeOf;
using kernels::RowBytes;
using kernels::TypeId;

// Where `rows` rows of `type` at `bytes` first fail the check for NaN and infinity.
uint64_t FirstBadRow(const Codec& codec, std::span<const std::byte> bytes, uint64_t rows,
                     uint64_t cols) {
  const uint64_t row_bytes = bytes.size() / rows;
  uint64_t row = 0;
  while (row + 1 < rows && codec.is_finite(bytes.data() + row * row_bytes, cols)) ++row;
  return row;
}

std::string Where(const ModelSource& source, const OutputTensor& tensor, uint64_t row) {
  return StrCat(source.tensors()[tensor.source].origin, ": tensor ", tensor.name, ", row ", row);
}

absl::Status BadSource(const ModelSource& source, const OutputTensor& tensor, uint64_t first_row,
                       uint64_t rows, std::span<const std::byte> bytes) {
  const Codec& codec = *FindCodec(tensor.source_type);
  const uint64_t row = FirstBadRow(codec, bytes, rows, tensor.cols);
  std::vector<float> values(tensor.cols);
  codec.decode(bytes.data() + row * (bytes.size() / rows), tensor.cols, values.data());
  std::string found = "a scale that is not finite";
  for (uint64_t col = 0; col < tensor.cols; ++col) {
    if (std::isfinite(values[col])) continue;
    found = StrCat(std::isnan(values[col]) ? "NaN" : "infinity", " at column ", col);
    break;
  }
  return MakeError(
      Error::kValidationFailed,
      StrCat(Where(source, tensor, first_row + row), ": found ", found, ", expected finite values"),
      "The model's file is damaged, or its training diverged");
}

absl::Status BadOutput(const ModelSource& source, const OutputTensor& tensor, uint64_t first_row,
                       uint64_t rows, std::span<const std::byte> bytes, const float* values) {
  const uint64_t row = FirstBadRow(*FindCodec(tensor.type), bytes, rows, tensor.cols);
  float largest = 0;
  for (uint64_t i = 0; i < tensor.cols; ++i) {
    largest = std::max(largest, std::fabs(values[row * tensor.cols + i]));
  }
  return MakeError(Error::kValidationFailed,
                   StrCat(Where(source, tensor, first_row + row), ": found a value of ", largest,
                          ", too large for ", QuantTypeOf(tensor.type).name),
                   "Use a level of larger range, such as BF16");
}

// Reads rows into buffers.source and checks them.
absl::Status ReadSource(const ModelSource& source, const OutputTensor& tensor, uint64_t first_row,
                        uint64_t rows, std::vector<std::byte>& bytes) {
  bytes.resize(rows * RowBytes(QuantTypeOf(tensor.source_type), tensor.cols));
  RETURN_IF_ERROR(source.ReadRows(tensor.source, first_row, rows, bytes))
      << "tensor " << tensor.name;
  const Codec* codec = FindCodec(tensor.source_type);
  // A type without codec is only ever copied, and has no values that could be not finite.
  if (codec != nullptr && !codec->is_finite(bytes.data(), rows * tensor.cols)) {
    return BadSource(source, tensor, first_row, rows, bytes);
  }
  return absl::OkStatus();
}

// The slice's bytes in the output's type; they point into `buffers`.
absl::StatusOr<std::span<const std::byte>> EncodeSlice(const ModelSource& source,
                                                       const OutputTensor& tensor,
                                                       uint64_t first_row, uint64_t rows,
                                                       SliceBuffers& buffers) {
  RETURN_IF_ERROR(ReadSource(source, tensor, first_row, rows, buffers.source));
  if (tensor.type == tensor.source_type) return buffers.source;

  const uint64_t count = rows * tensor.cols;
  const float* values;
  if (tensor.source_type == TypeId::kF32) {
    values = reinterpret_cast<const float*>(buffers.source.data());
  } else {
    buffers.values.resize(count);
    FindCodec(tensor.source_type)->decode(buffers.source.data(), count, buffers.values.data());
    values = buffers.values.data();
  }
  const Codec& codec = *FindCodec(tensor.type);
  buffers.encoded.resize(rows * RowBytes(QuantTypeOf(tensor.type), tensor.cols));
  kernels::BestEncoder(codec)(values, nullptr, rows, tensor.cols, buffers.encoded.data());
  if (!codec.is_finite(buffers.encoded.data(), count)) {
    return BadOutput(source, tensor, first_row, rows, buffers.encoded, values);
  }
  return buffers.encoded;
}

}  // namespace

absl::Status EncodeTensors(const ModelSource& source, const QuantizePlan& plan,
                           std::span<const uint8_t> skip, File& part, const EncodeEvents& events,
                           JobContext& context) {
  UnitHasher hasher(plan.tensors);
  return ForEachSlice(
      plan.tensors, skip, context, [&](const Slice& slice, SliceBuffers& buffers) -> absl::Status {
        const OutputTensor& tensor = plan.tensors[slice.tensor];
        ASSIGN_OR_RETURN(const std::span<const std::byte> bytes,
                         EncodeSlice(source, tensor, slice.first_row, slice.rows, buffers));
        const uint64_t row_bytes = tensor.size_bytes / tensor.rows;
        RETURN_IF_ERROR(part.WriteAt(tensor.offset + slice.first_row * row_bytes, bytes));
        events.on_bytes(bytes.size());
        if (const std::optional<uint64_t> hash = hasher.Add(slice, bytes)) {
          return events.on_unit({slice.tensor, tensor.offset, tensor.size_bytes, *hash});
        }
        return absl::OkStatus();
      });
}

absl::Status EncodeRowsByReference(const ModelSource& source, const OutputTensor& tensor,
                                   uint64_t first_row, uint64_t rows, std::vector<float>& values,
                                   std::vector<std::byte>& encoded) {
  if (tensor.type == tensor.source_type) {
    return ReadSource(source, tensor, first_row, rows, encoded);
  }
  std::vector<std::byte> bytes;
  RETURN_IF_ERROR(ReadSource(source, tensor, first_row, rows, bytes));
  values.resize(rows * tensor.cols);
  FindCodec(tensor.source_type)->decode(bytes.data(), values.size(), values.data());
  encoded.resize(rows * RowBytes(QuantTypeOf(tensor.type), tensor.cols));
  FindCodec(tensor.type)->encode_ref(values.data(), nullptr, rows, tensor.cols, encoded.data());
  return absl::OkStatus();
}

}  // namespace quantized
