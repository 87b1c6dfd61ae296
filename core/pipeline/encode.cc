#include "core/pipeline/encode.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

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

// Encodes rows from `first_row` on of `tensor`. Each matrix of an importance that has several (one
// for each expert) holds for its own rows.
void EncodeRows(kernels::EncodeRows encode, const OutputTensor& tensor, uint64_t first_row,
                uint64_t rows, const float* values, std::byte* out) {
  const uint64_t cols = tensor.cols, row_bytes = tensor.size_bytes / tensor.rows;
  if (tensor.importance.empty()) return encode(values, nullptr, rows, cols, out);
  const uint64_t matrix_rows = tensor.rows / (tensor.importance.size() / cols);
  while (rows > 0) {
    const uint64_t matrix = first_row / matrix_rows;
    const uint64_t count = std::min(rows, (matrix + 1) * matrix_rows - first_row);
    encode(values, tensor.importance.data() + matrix * cols, count, cols, out);
    values += count * cols;
    out += count * row_bytes;
    first_row += count;
    rows -= count;
  }
}

// One walk over a source.
class Walk {
 public:
  Walk(const Pass& pass, LayerProgress& progress)
      : pass_(pass), progress_(progress), tensors_(pass.outputs[0]->plan().tensors) {
    for (const LevelOutput* output : pass.outputs) {
      std::vector<size_t>& place = places_.emplace_back(pass.source->tensors().size());
      const std::vector<OutputTensor>& tensors = output->plan().tensors;
      for (size_t i = 0; i < tensors.size(); ++i) place[tensors[i].source] = i;
    }
  }

  absl::Status Run(JobContext& context) {
    std::vector<uint8_t> skip(tensors_.size(), 1);
    for (size_t i = 0; i < tensors_.size(); ++i) {
      for (size_t o = 0; o < pass_.outputs.size(); ++o) {
        const LevelOutput& output = *pass_.outputs[o];
        if (output.is_open() && output.reused()[PlaceIn(o, i)] == 0) skip[i] = 0;
      }
    }
    return ForEachSlice(tensors_, skip, context, [this](const Slice& slice, SliceBuffers& buffers) {
      return EncodeSlice(slice, buffers);
    });
  }

 private:
  // Where the walk's tensor `i` is in the plan of output `o`.
  size_t PlaceIn(size_t o, size_t i) const { return places_[o][tensors_[i].source]; }

  absl::Status EncodeSlice(const Slice& slice, SliceBuffers& buffers) {
    const OutputTensor& tensor = tensors_[slice.tensor];
    bool is_read = false, is_decoded = false, is_wanted = false;
    absl::Status failed;
    for (size_t o = 0; o < pass_.outputs.size(); ++o) {
      LevelOutput& output = *pass_.outputs[o];
      Slice own = slice;
      own.tensor = PlaceIn(o, slice.tensor);
      if (!output.Wants(own)) continue;
      if (!is_read) {
        RETURN_IF_ERROR(
            ReadSource(*pass_.source, tensor, slice.first_row, slice.rows, buffers.source));
        is_read = true;
      }
      absl::Status status = EncodeFor(o, own, is_decoded, buffers);
      if (status.ok()) {
        is_wanted = true;
      } else {
        failed = status;
        output.FailAt(own, std::move(status));
        progress_.Drop(pass_.progress_parts[o]);
      }
    }
    return is_wanted ? absl::OkStatus() : failed;
  }

  absl::Status EncodeFor(size_t o, const Slice& slice, bool& is_decoded, SliceBuffers& buffers) {
    LevelOutput& output = *pass_.outputs[o];
    const OutputTensor& tensor = output.plan().tensors[slice.tensor];
    std::span<const std::byte> bytes = buffers.source;
    if (tensor.type != tensor.source_type) {
      const float* values = Decode(tensor, slice.rows * tensor.cols, is_decoded, buffers);
      const Codec& codec = *FindCodec(tensor.type);
      buffers.encoded.resize(slice.rows * RowBytes(QuantTypeOf(tensor.type), tensor.cols));
      EncodeRows(kernels::BestEncoder(codec), tensor, slice.first_row, slice.rows, values,
                 buffers.encoded.data());
      if (!codec.is_finite(buffers.encoded.data(), slice.rows * tensor.cols)) {
        return BadOutput(*pass_.source, tensor, slice.first_row, slice.rows, buffers.encoded,
                         values);
      }
      bytes = buffers.encoded;
    }
    ASSIGN_OR_RETURN(const bool finished, output.Write(slice, bytes));
    progress_.AddBytes(bytes.size());
    if (finished) progress_.FinishTensor(pass_.progress_parts[o], slice.tensor);
    return absl::OkStatus();
  }

  // The slice's values as f32, made once for all outputs.
  static const float* Decode(const OutputTensor& tensor, uint64_t count, bool& is_decoded,
                             SliceBuffers& buffers) {
    if (tensor.source_type == TypeId::kF32) {
      return reinterpret_cast<const float*>(buffers.source.data());
    }
    if (!is_decoded) {
      buffers.values.resize(count);
      FindCodec(tensor.source_type)->decode(buffers.source.data(), count, buffers.values.data());
      is_decoded = true;
    }
    return buffers.values.data();
  }

  const Pass& pass_;
  LayerProgress& progress_;
  const std::vector<OutputTensor>& tensors_;  // in the first output's order, which the walk takes
  std::vector<std::vector<size_t>> places_;   // of each output: by tensor of the source
};

}  // namespace

absl::Status EncodeOutputs(const Pass& pass, LayerProgress& progress, JobContext& context) {
  return Walk(pass, progress).Run(context);
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
  EncodeRows(FindCodec(tensor.type)->encode_ref, tensor, first_row, rows, values.data(),
             encoded.data());
  return absl::OkStatus();
}

}  // namespace quantized
