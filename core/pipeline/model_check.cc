#include "core/pipeline/model_check.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <unordered_map>

#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/gguf/reader.h"
#include "core/hf/config.h"
#include "core/source/checkpoint_tensor.h"
#include "core/source/locate.h"
#include "core/source/model_source.h"
#include "core/source/packed_weights.h"
#include "core/source/widen.h"
#include "core/tensor/shape.h"
#include "core/tensor/text.h"
#include "kernels/codecs/codec.h"

namespace quantized {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kValuesAtOnce = 1 << 20;

// body(0) … body(count - 1) on the pool; the first error in that order.
absl::Status ForEach(size_t count, ThreadPool& threads,
                     const std::function<absl::Status(size_t)>& body) {
  std::vector<absl::Status> statuses(count);
  threads.ParallelFor(count, [&](size_t i) { statuses[i] = body(i); });
  for (const absl::Status& status : statuses) RETURN_IF_ERROR(status);
  return absl::OkStatus();
}

absl::Status NotFinite(std::string_view origin) {
  return MakeError(Error::kValidationFailed,
                   StrCat(origin, ": holds values that are no finite numbers"));
}

absl::Status VerifyTensor(const gguf::GgufReader& reader, const gguf::TensorInfo& tensor) {
  const kernels::Codec* codec = kernels::FindCodec(tensor.type);
  const uint64_t row_bytes =
      kernels::RowBytes(kernels::QuantTypeOf(tensor.type), tensor.dims.front());
  const uint64_t rows = *ElementCount(tensor.dims) / tensor.dims.front();
  const uint64_t at_once = std::max<uint64_t>(1, kValuesAtOnce / tensor.dims.front());
  std::vector<std::byte> bytes;
  for (uint64_t row = 0; row < rows; row += at_once) {
    const uint64_t count = std::min(at_once, rows - row);
    bytes.resize(count * row_bytes);
    RETURN_IF_ERROR(reader.Read(tensor, row * row_bytes, bytes));
    if (codec != nullptr && !codec->is_finite(bytes.data(), count * tensor.dims.front())) {
      return NotFinite(
          StrCat(reader.parts()[tensor.part].bytes->name(), ": ", PrintableName(tensor.name)));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> VerifyGguf(const fs::path& path, ThreadPool& threads) {
  ASSIGN_OR_RETURN(const std::unique_ptr<gguf::GgufReader> reader, gguf::GgufReader::Open(path));
  RETURN_IF_ERROR(ForEach(reader->tensors().size(), threads,
                          [&](size_t i) { return VerifyTensor(*reader, reader->tensors()[i]); }));
  return reader->tensors().size();
}

absl::Status VerifyTensor(const CheckpointTensor& tensor) {
  const uint64_t elements = *ElementCount(tensor.shape),
                 size_bytes = RowOf(tensor.dtype).size_bytes;
  std::vector<std::byte> bytes;
  std::vector<float> values;
  for (uint64_t first = 0; first < elements; first += values.size()) {
    values.resize(std::min(kValuesAtOnce, elements - first));
    bytes.resize(values.size() * size_bytes);
    RETURN_IF_ERROR(tensor.read(first * size_bytes, bytes));
    WidenToF32(tensor.dtype, bytes.data(), values.size(), values.data());
    const bool finite =
        std::ranges::all_of(values, [](float value) { return std::isfinite(value); });
    if (!finite) return NotFinite(tensor.Origin());
  }
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> VerifyDirectory(const fs::path& path, ThreadPool& threads) {
  ASSIGN_OR_RETURN(const HfConfig config, HfConfig::Read(path));
  ASSIGN_OR_RETURN(const std::unique_ptr<HfWeights> weights, HfWeights::Open(path));
  ASSIGN_OR_RETURN(const std::optional<PackedScheme> scheme, PackedSchemeOf(config));
  if (scheme) {
    ASSIGN_OR_RETURN(const auto packed, PackedWeights::Open(*weights, *scheme));
    RETURN_IF_ERROR(ForEach(packed->modules().size(), threads,
                            [&](size_t i) { return packed->Load(i).status(); }));
  }
  const std::vector<CheckpointTensor> tensors = PlainTensors(*weights);
  RETURN_IF_ERROR(
      ForEach(tensors.size(), threads, [&](size_t i) { return VerifyTensor(tensors[i]); }));
  return tensors.size();
}

// Sums over pairs of values.
struct Sums {
  double differences = 0, values = 0, max_error = 0;  // the first two of squares

  void Add(float found, float wanted) {
    const double difference = double{found} - wanted;
    differences += difference * difference;
    values += double{wanted} * wanted;
    max_error = std::max(max_error, std::abs(difference));
  }
  // Of all values 0: 0 where the model has them, too, else 1.
  double RelativeError() const {
    if (values > 0) return std::sqrt(differences / values);
    return differences > 0 ? 1 : 0;
  }
};

absl::Status ReadValues(const ModelSource& source, size_t tensor, uint64_t first, uint64_t rows,
                        std::vector<float>& values) {
  const SourceTensor& info = source.tensors()[tensor];
  std::vector<std::byte> bytes(rows *
                               kernels::RowBytes(kernels::QuantTypeOf(info.type), info.cols()));
  RETURN_IF_ERROR(source.ReadRows(tensor, first, rows, bytes));
  values.resize(rows * info.cols());
  kernels::FindCodec(info.type)->decode(bytes.data(), values.size(), values.data());
  return absl::OkStatus();
}

absl::StatusOr<Sums> CompareTensor(const ModelSource& model, size_t tensor,
                                   const ModelSource& source, size_t source_tensor) {
  const SourceTensor& info = model.tensors()[tensor];
  const uint64_t at_once = std::max<uint64_t>(1, kValuesAtOnce / info.cols());
  std::vector<float> found, wanted;
  Sums sums;
  for (uint64_t row = 0; row < info.rows(); row += at_once) {
    const uint64_t count = std::min(at_once, info.rows() - row);
    RETURN_IF_ERROR(ReadValues(model, tensor, row, count, found));
    RETURN_IF_ERROR(ReadValues(source, source_tensor, row, count, wanted));
    for (size_t i = 0; i < found.size(); ++i) sums.Add(found[i], wanted[i]);
  }
  return sums;
}

// For each tensor of the model, the source's of the same name and shape.
absl::StatusOr<std::vector<size_t>> MatchTensors(const ModelSource& model,
                                                 const ModelSource& source) {
  std::unordered_map<std::string_view, size_t> by_name;
  for (size_t i = 0; i < source.tensors().size(); ++i) by_name[source.tensors()[i].name] = i;
  std::vector<size_t> matches;
  for (const SourceTensor& tensor : model.tensors()) {
    const auto found = by_name.find(tensor.name);
    if (found == by_name.end()) {
      return MakeError(
          Error::kValidationFailed,
          StrCat("tensor ", PrintableName(tensor.name), ": the source does not have it"),
          "Check that the model was made of this source");
    }
    const SourceTensor& other = source.tensors()[found->second];
    if (other.dims != tensor.dims) {
      return MakeError(Error::kValidationFailed,
                       StrCat("tensor ", PrintableName(tensor.name), ": found shape ",
                              ShapeText(tensor.dims), ", the source has ", ShapeText(other.dims)),
                       "Check that the model was made of this source");
    }
    for (const SourceTensor* one : {&tensor, &other}) {
      if (kernels::FindCodec(one->type) != nullptr) continue;
      return MakeError(
          Error::kValidationFailed,
          StrCat(one->origin, ": type ", kernels::QuantTypeOf(one->type).name, " is not decoded"));
    }
    matches.push_back(found->second);
  }
  return matches;
}

}  // namespace

absl::StatusOr<uint64_t> VerifyModel(const fs::path& path, ThreadPool& threads) {
  ASSIGN_OR_RETURN(const LocatedModel model, LocateModel(path));
  return model.kind == ModelKind::kGgufFile ? VerifyGguf(model.path, threads)
                                            : VerifyDirectory(model.path, threads);
}

absl::StatusOr<ModelDifference> CompareTensors(const fs::path& model_path,
                                               const fs::path& source_path, ThreadPool& threads) {
  const SourceOptions options = {.may_be_packed = true};
  ASSIGN_OR_RETURN(const std::unique_ptr<ModelSource> model, OpenModelSource(model_path, options));
  ASSIGN_OR_RETURN(const std::unique_ptr<ModelSource> source,
                   OpenModelSource(source_path, options));
  ASSIGN_OR_RETURN(const std::vector<size_t> matches, MatchTensors(*model, *source));
  std::vector<Sums> sums(matches.size());
  RETURN_IF_ERROR(ForEach(matches.size(), threads, [&](size_t i) -> absl::Status {
    ASSIGN_OR_RETURN(sums[i], CompareTensor(*model, i, *source, matches[i]));
    return absl::OkStatus();
  }));
  ModelDifference difference;
  Sums all;
  for (size_t i = 0; i < sums.size(); ++i) {
    const SourceTensor& tensor = model->tensors()[i];
    const bool is_file = !model->is_conversion();
    difference.tensors.push_back(
        {.name = tensor.name,
         .type = is_file ? std::string(kernels::QuantTypeOf(tensor.type).name) : "",
         .relative_error = sums[i].RelativeError(),
         .max_error = sums[i].max_error});
    if (tensor.dims.size() < 2) continue;  // norms can be thousands of times as large
    all.differences += sums[i].differences;
    all.values += sums[i].values;
  }
  difference.relative_error = all.RelativeError();
  return difference;
}

}  // namespace quantized
