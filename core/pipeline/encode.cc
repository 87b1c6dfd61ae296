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

// Rows that are encoded with the same importance.
struct RowRun {
  uint64_t first_row, rows;  // within the slice
  const float* importance;   // null: none
};

// The `rows` rows from `first_row` on of `tensor`. Each matrix of an importance that has several
// (one for each expert) holds for its own rows.
std::vector<RowRun> RunsOf(const OutputTensor& tensor, uint64_t first_row, uint64_t rows) {
  if (tensor.importance.empty()) return {{0, rows, nullptr}};
  const uint64_t matrix_rows = tensor.rows / (tensor.importance.size() / tensor.cols);
  std::vector<RowRun> runs;
  for (uint64_t done = 0; done < rows;) {
    const uint64_t matrix = (first_row + done) / matrix_rows;
    const uint64_t count = std::min(rows - done, (matrix + 1) * matrix_rows - (first_row + done));
    runs.push_back({done, count, tensor.importance.data() + matrix * tensor.cols});
    done += count;
  }
  return runs;
}

// Encodes rows from `first_row` on of `tensor`.
void EncodeRows(kernels::EncodeRows encode, const OutputTensor& tensor, uint64_t first_row,
                uint64_t rows, const float* values, std::byte* out) {
  const uint64_t row_bytes = tensor.size_bytes / tensor.rows;
  for (const RowRun& run : RunsOf(tensor, first_row, rows)) {
    encode(values + run.first_row * tensor.cols, run.importance, run.rows, tensor.cols,
           out + run.first_row * row_bytes);
  }
}

// What has been made of a slice so far.
struct SliceState {
  bool is_read = false;
  bool is_decoded = false;  // buffers.values
  bool is_loaded = false;   // on the device
};

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
    SliceState state;
    bool is_wanted = false;
    absl::Status failed;
    for (size_t o = 0; o < pass_.outputs.size(); ++o) {
      LevelOutput& output = *pass_.outputs[o];
      Slice own = slice;
      own.tensor = PlaceIn(o, slice.tensor);
      if (!output.Wants(own)) continue;
      if (!state.is_read) {
        RETURN_IF_ERROR(
            ReadSource(*pass_.source, tensor, slice.first_row, slice.rows, buffers.source));
        state.is_read = true;
      }
      absl::Status status = EncodeFor(o, own, state, buffers);
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

  absl::Status EncodeFor(size_t o, const Slice& slice, SliceState& state, SliceBuffers& buffers) {
    LevelOutput& output = *pass_.outputs[o];
    const OutputTensor& tensor = output.plan().tensors[slice.tensor];
    std::span<const std::byte> bytes = buffers.source;
    if (tensor.type != tensor.source_type) {
      RETURN_IF_ERROR(Encode(tensor, slice, state, buffers));
      if (!FindCodec(tensor.type)->is_finite(buffers.encoded.data(), slice.rows * tensor.cols)) {
        return BadOutput(*pass_.source, tensor, slice.first_row, slice.rows, buffers.encoded,
                         Decode(tensor, slice, state, buffers));
      }
      bytes = buffers.encoded;
    }
    ASSIGN_OR_RETURN(const bool finished, output.Write(slice, bytes));
    progress_.AddBytes(bytes.size());
    if (finished) progress_.FinishTensor(pass_.progress_parts[o], slice.tensor);
    return absl::OkStatus();
  }

  // Into buffers.encoded.
  absl::Status Encode(const OutputTensor& tensor, const Slice& slice, SliceState& state,
                      SliceBuffers& buffers) {
    buffers.encoded.resize(slice.rows * RowBytes(QuantTypeOf(tensor.type), tensor.cols));
    if (pass_.device->Encodes(tensor)) return EncodeOnDevice(tensor, slice, state, buffers);
    EncodeRows(kernels::BestEncoder(*FindCodec(tensor.type)), tensor, slice.first_row, slice.rows,
               Decode(tensor, slice, state, buffers), buffers.encoded.data());
    return absl::OkStatus();
  }

  absl::Status EncodeOnDevice(const OutputTensor& tensor, const Slice& slice, SliceState& state,
                              SliceBuffers& buffers) {
    if (!state.is_loaded) {
      RETURN_IF_ERROR(Load(tensor, slice, state, buffers)) << "tensor " << tensor.name;
      state.is_loaded = true;
    }
    const bool is_weighed = FindCodec(tensor.type)->importance != kernels::Importance::kIgnored;
    const uint64_t row_bytes = tensor.size_bytes / tensor.rows;
    for (const RowRun& run : RunsOf(tensor, slice.first_row, slice.rows)) {
      RETURN_IF_ERROR(pass_.device->Encode(
          buffers.thread, {.type = static_cast<uint32_t>(tensor.type),
                           .first_row = run.first_row,
                           .rows = run.rows,
                           .cols = tensor.cols,
                           .importance = is_weighed ? run.importance : nullptr,
                           .encoded = buffers.encoded.data() + run.first_row * row_bytes}))
          << "tensor " << tensor.name;
    }
    return absl::OkStatus();
  }

  absl::Status Load(const OutputTensor& tensor, const Slice& slice, SliceState& state,
                    SliceBuffers& buffers) {
    if (IsDeviceSource(tensor.source_type)) {
      return pass_.device->Load(buffers.thread, buffers.source, tensor.source_type);
    }
    const float* values = Decode(tensor, slice, state, buffers);
    return pass_.device->Load(
        buffers.thread, std::as_bytes(std::span(values, slice.rows * tensor.cols)), TypeId::kF32);
  }

  // The slice's values as f32, made once for all outputs.
  static const float* Decode(const OutputTensor& tensor, const Slice& slice, SliceState& state,
                             SliceBuffers& buffers) {
    if (tensor.source_type == TypeId::kF32) {
      return reinterpret_cast<const float*>(buffers.source.data());
    }
    if (!state.is_decoded) {
      const uint64_t count = slice.rows * tensor.cols;
      buffers.values.resize(count);
      FindCodec(tensor.source_type)->decode(buffers.source.data(), count, buffers.values.data());
      state.is_decoded = true;
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
