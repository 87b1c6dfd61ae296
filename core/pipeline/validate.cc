#include "core/pipeline/validate.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/mutex.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/gguf/file_header.h"
#include "core/pipeline/encode.h"
#include "core/pipeline/error_bounds.h"
#include "core/pipeline/slices.h"
#include "core/tensor/byte_source.h"
#include "kernels/codecs/codec.h"

namespace quantized {
namespace {

using kernels::QuantTypeOf;

absl::Status Invalid(const File& file, std::string_view what) {
  return MakeError(Error::kValidationFailed, StrCat(file.path().string(), ": ", what));
}
absl::Status InvalidTensor(const File& file, const OutputTensor& tensor, std::string_view what) {
  return Invalid(file, StrCat("tensor ", tensor.name, ": ", what));
}

// The tensors of file `index` of the plan, which lie one after the other.
std::span<const OutputTensor> TensorsOf(const QuantizePlan& plan, size_t index) {
  const auto in_file = [index](const OutputTensor& tensor) { return tensor.file == index; };
  const auto first = std::find_if(plan.tensors.begin(), plan.tensors.end(), in_file);
  return {first, std::find_if_not(first, plan.tensors.end(), in_file)};
}

absl::Status CheckHeader(const File& file, const OutputFile& planned) {
  ASSIGN_OR_RETURN(const uint64_t size_bytes, file.SizeBytes());
  if (size_bytes != planned.size_bytes) {
    return Invalid(file, StrCat("has ", size_bytes, " bytes, expected ", planned.size_bytes));
  }
  std::string header(planned.header.size(), '\0');
  RETURN_IF_ERROR(file.ReadAt(0, std::as_writable_bytes(std::span(header))));
  if (header != planned.header) {
    const auto at = std::mismatch(header.begin(), header.end(), planned.header.begin()).first;
    return Invalid(file,
                   StrCat("header differs from what was planned at byte ", at - header.begin()));
  }
  return absl::OkStatus();
}

// Through the reader, as a program that loads the file will see it.
absl::Status CheckTensorTable(const File& file, std::span<const OutputTensor> tensors,
                              const ModelSource& source) {
  ASSIGN_OR_RETURN(const std::unique_ptr<ByteSource> bytes, OpenFileBytes(file.path()));
  ASSIGN_OR_RETURN(const gguf::FileHeader header, gguf::ParseFileHeader(*bytes));
  if (header.tensors.size() != tensors.size()) {
    return Invalid(file,
                   StrCat("has ", header.tensors.size(), " tensors, expected ", tensors.size()));
  }
  for (size_t i = 0; i < tensors.size(); ++i) {
    const gguf::TensorInfo& found = header.tensors[i];
    const OutputTensor& planned = tensors[i];
    if (found.name != planned.name || found.type != planned.type ||
        found.dims != source.tensors()[planned.source].dims || found.offset != planned.offset ||
        found.size_bytes != planned.size_bytes) {
      return InvalidTensor(file, planned, "name, type, dimensions or place differ from the plan");
    }
  }
  return absl::OkStatus();
}

absl::Status CheckPadding(const File& file, uint64_t file_size_bytes,
                          std::span<const OutputTensor> tensors) {
  std::vector<std::byte> padding;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const OutputTensor& tensor = tensors[i];
    const uint64_t end = tensor.offset + tensor.size_bytes;
    const uint64_t next = i + 1 < tensors.size() ? tensors[i + 1].offset : file_size_bytes;
    padding.resize(next - end);
    RETURN_IF_ERROR(file.ReadAt(end, padding));
    if (std::any_of(padding.begin(), padding.end(),
                    [](std::byte b) { return b != std::byte{0}; })) {
      return InvalidTensor(file, tensor, "bytes between its end and the next tensor are not zero");
    }
  }
  return absl::OkStatus();
}

// Reads slices of the files. `body` gets each with its bytes.
absl::Status ForEachWrittenSlice(
    std::span<const File> files, const QuantizePlan& plan, std::span<const uint8_t> skip,
    JobContext& context,
    const std::function<absl::Status(const Slice&, std::span<const std::byte>)>& body) {
  return ForEachSlice(plan.tensors, skip, context,
                      [&](const Slice& slice, SliceBuffers& buffers) -> absl::Status {
                        const OutputTensor& tensor = plan.tensors[slice.tensor];
                        const uint64_t row_bytes = tensor.size_bytes / tensor.rows;
                        buffers.encoded.resize(slice.rows * row_bytes);
                        RETURN_IF_ERROR(files[tensor.file].ReadAt(
                            tensor.offset + slice.first_row * row_bytes, buffers.encoded));
                        return body(slice, buffers.encoded);
                      });
}

absl::Status CheckBytes(std::span<const File> files, const QuantizePlan& plan,
                        std::span<const uint64_t> hashes, JobContext& context) {
  UnitHasher hasher(plan.tensors);
  return ForEachWrittenSlice(
      files, plan, {}, context,
      [&](const Slice& slice, std::span<const std::byte> bytes) -> absl::Status {
        const OutputTensor& tensor = plan.tensors[slice.tensor];
        const kernels::Codec* codec = kernels::FindCodec(tensor.type);
        if (codec != nullptr && !codec->is_finite(bytes.data(), slice.rows * tensor.cols)) {
          return InvalidTensor(
              files[tensor.file], tensor,
              StrCat("rows ", slice.first_row, " to ", slice.first_row + slice.rows - 1,
                     " hold a scale or value that is not finite"));
        }
        const std::optional<uint64_t> hash = hasher.Add(slice, bytes);
        if (hash && !hashes.empty() && *hash != hashes[slice.tensor]) {
          return InvalidTensor(files[tensor.file], tensor,
                               "its bytes are not those that were written");
        }
        return absl::OkStatus();
      });
}

// Rows that are made again: first, last and between.
std::set<uint64_t> SampledRows(const OutputTensor& tensor) {
  return {0, tensor.rows / 3, tensor.rows - 1 - tensor.rows / 3, tensor.rows - 1};
}

absl::Status CheckSamples(const File& file, const OutputTensor& tensor, const ModelSource& source) {
  std::vector<float> values;
  std::vector<std::byte> expected;
  std::vector<std::byte> found(tensor.size_bytes / tensor.rows);
  std::vector<float> decoded(tensor.cols);
  for (const uint64_t row : SampledRows(tensor)) {
    RETURN_IF_ERROR(EncodeRowsByReference(source, tensor, row, 1, values, expected));
    RETURN_IF_ERROR(file.ReadAt(tensor.offset + row * found.size(), found));
    if (found != expected) {
      return InvalidTensor(file, tensor,
                           StrCat("row ", row, " differs from what the source's row gives"));
    }
    if (tensor.type == tensor.source_type || !tensor.importance.empty()) continue;
    kernels::FindCodec(tensor.type)->decode(found.data(), tensor.cols, decoded.data());
    if (const auto excess = FindExcessError(tensor.type, values, decoded)) {
      return InvalidTensor(
          file, tensor,
          StrCat("row ", row, ", column ", excess->col, ": found ", excess->found, " for ",
                 excess->wanted, ", expected at most ", excess->allowed, " of difference"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckAllSamples(std::span<const File> files, const QuantizePlan& plan,
                             const ModelSource& source, JobContext& context) {
  std::vector<absl::Status> results(plan.tensors.size());
  context.threads.ParallelFor(plan.tensors.size(), [&](size_t i) {
    results[i] = context.CheckStopped();
    const OutputTensor& tensor = plan.tensors[i];
    if (results[i].ok()) results[i] = CheckSamples(files[tensor.file], tensor, source);
  });
  for (const absl::Status& result : results) RETURN_IF_ERROR(result);
  return absl::OkStatus();
}

}  // namespace

absl::Status MatchUnits(std::span<const File> files, const QuantizePlan& plan,
                        std::span<const uint64_t> hashes, std::span<const uint8_t> which,
                        JobContext& context, std::vector<uint8_t>& matches) {
  CHECK(hashes.size() == plan.tensors.size());
  std::vector<uint8_t> skip(plan.tensors.size(), 0);
  for (size_t i = 0; i < which.size(); ++i) skip[i] = which[i] == 0;
  matches.assign(plan.tensors.size(), 0);
  UnitHasher hasher(plan.tensors);
  return ForEachWrittenSlice(
      files, plan, skip, context,
      [&](const Slice& slice, std::span<const std::byte> bytes) -> absl::Status {
        if (const std::optional<uint64_t> hash = hasher.Add(slice, bytes)) {
          matches[slice.tensor] = *hash == hashes[slice.tensor];
        }
        return absl::OkStatus();
      });
}

absl::Status ValidateOutput(std::span<const File> files, const QuantizePlan& plan,
                            const ModelSource& source, std::span<const uint64_t> hashes,
                            JobContext& context) {
  CHECK(files.size() == plan.files.size());
  CHECK(hashes.empty() || hashes.size() == plan.tensors.size());
  for (size_t i = 0; i < files.size(); ++i) {
    const std::span<const OutputTensor> tensors = TensorsOf(plan, i);
    RETURN_IF_ERROR(CheckHeader(files[i], plan.files[i]));
    RETURN_IF_ERROR(CheckTensorTable(files[i], tensors, source));
    RETURN_IF_ERROR(CheckPadding(files[i], plan.files[i].size_bytes, tensors));
  }
  RETURN_IF_ERROR(CheckBytes(files, plan, hashes, context));
  return CheckAllSamples(files, plan, source, context);
}

}  // namespace quantized
