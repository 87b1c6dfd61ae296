#include "core/pipeline/model_check.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <unordered_map>

#include "core/arch/tensor_names.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/gguf/reader.h"
#include "core/hf/config.h"
#include "core/source/checkpoint_tensor.h"
#include "core/source/locate.h"
#include "core/source/model_source.h"
#include "core/source/packed_weights.h"
#include "core/source/quantization.h"
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

// An error of a conversion is here one of the model.
absl::Status AsUnsound(const absl::Status& status) {
  if (status.ok() || ErrorOf(status) != Error::kUnsupportedConversion) return status;
  return MakeError(Error::kValidationFailed, std::string(status.message()), SuggestionOf(status));
}

bool AreFinite(std::span<const float> values) {
  return std::ranges::all_of(values, [](float value) { return std::isfinite(value); });
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
    if (!AreFinite(values)) return NotFinite(tensor.Origin());
  }
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> VerifyDirectory(const fs::path& path, ThreadPool& threads) {
  ASSIGN_OR_RETURN(const HfConfig config, HfConfig::Read(path));
  ASSIGN_OR_RETURN(const std::unique_ptr<HfWeights> weights, HfWeights::Open(path));
  ASSIGN_OR_RETURN(const std::optional<PackedScheme> scheme, ReadableScheme(config, *weights));
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

// A tensor of the model and one of the source, which are compared.
struct TensorPair {
  std::string name;
  size_t in_model = 0, in_source = 0;
};

absl::StatusOr<Sums> CompareTensor(const ModelSource& model, const ModelSource& source,
                                   const TensorPair& pair) {
  const SourceTensor& info = model.tensors()[pair.in_model];
  const SourceTensor& source_info = source.tensors()[pair.in_source];
  const uint64_t at_once = std::max<uint64_t>(1, kValuesAtOnce / info.cols());
  const auto check = [&](std::string_view whose, const std::string& origin,
                         std::span<const float> values) {
    if (AreFinite(values)) return absl::OkStatus();
    return NotFinite(StrCat("tensor ", PrintableName(pair.name), " of the ", whose, ", ", origin));
  };
  std::vector<float> found, wanted;
  Sums sums;
  for (uint64_t row = 0; row < info.rows(); row += at_once) {
    const uint64_t count = std::min(at_once, info.rows() - row);
    RETURN_IF_ERROR(ReadValues(model, pair.in_model, row, count, found));
    RETURN_IF_ERROR(ReadValues(source, pair.in_source, row, count, wanted));
    RETURN_IF_ERROR(check("model", info.origin, found));
    RETURN_IF_ERROR(check("source", source_info.origin, wanted));
    for (size_t i = 0; i < found.size(); ++i) sums.Add(found[i], wanted[i]);
  }
  return sums;
}

using Places = std::unordered_map<std::string_view, size_t>;

Places PlacesOf(const ModelSource& source) {
  Places places;
  for (size_t i = 0; i < source.tensors().size(); ++i) places[source.tensors()[i].name] = i;
  return places;
}

// A model without an output head has its embedding in the place of one.
std::optional<size_t> PlaceOf(const Places& places, std::string_view name) {
  auto found = places.find(name);
  if (found == places.end() && name == "output.weight") found = places.find("token_embd.weight");
  if (found == places.end()) return std::nullopt;
  return found->second;
}

absl::Status WrongSource(std::string_view tensor, std::string_view what) {
  return MakeError(Error::kValidationFailed, StrCat("tensor ", PrintableName(tensor), ": ", what),
                   "Check that the model was made of this source");
}

// Shapes are the same and both types are decoded.
absl::Status CheckPair(const ModelSource& model, const ModelSource& source,
                       const TensorPair& pair) {
  const SourceTensor& tensor = model.tensors()[pair.in_model];
  const SourceTensor& other = source.tensors()[pair.in_source];
  if (other.dims != tensor.dims) {
    return WrongSource(pair.name, StrCat("found shape ", ShapeText(tensor.dims),
                                         ", the source has ", ShapeText(other.dims)));
  }
  for (const SourceTensor* one : {&tensor, &other}) {
    if (kernels::FindCodec(one->type) != nullptr) continue;
    return MakeError(
        Error::kValidationFailed,
        StrCat(one->origin, ": type ", kernels::QuantTypeOf(one->type).name, " is not decoded"));
  }
  return absl::OkStatus();
}

// Every tensor of either with the other's of the same name, in the model's order; last a head that
// only the source has. Generated tensors that one of them lacks are passed over.
absl::StatusOr<std::vector<TensorPair>> MatchTensors(const ModelSource& model,
                                                     const ModelSource& source) {
  const Places in_model = PlacesOf(model), in_source = PlacesOf(source);
  std::vector<TensorPair> pairs;
  for (size_t i = 0; i < model.tensors().size(); ++i) {
    const std::string& name = model.tensors()[i].name;
    if (const auto place = PlaceOf(in_source, name)) {
      pairs.push_back({name, i, *place});
    } else if (!IsGeneratedTensor(name)) {
      return WrongSource(name, "the source does not have it");
    }
  }
  std::vector<std::string_view> lost;
  for (size_t i = 0; i < source.tensors().size(); ++i) {
    const std::string& name = source.tensors()[i].name;
    if (in_model.contains(name)) continue;
    if (const auto place = PlaceOf(in_model, name)) {
      pairs.push_back({name, *place, i});
    } else if (!IsGeneratedTensor(name)) {
      lost.push_back(name);
    }
  }
  if (!lost.empty()) {
    return WrongSource(lost[0],
                       StrCat("the source has it, the model does not",
                              lost.size() == 1 ? "" : StrCat("; nor ", lost.size() - 1, " more")));
  }
  for (const TensorPair& pair : pairs) RETURN_IF_ERROR(CheckPair(model, source, pair));
  return pairs;
}

absl::StatusOr<ModelDifference> Compare(const fs::path& model_path, const fs::path& source_path,
                                        ThreadPool& threads) {
  const SourceOptions options = {.may_be_packed = true};
  ASSIGN_OR_RETURN(const std::unique_ptr<ModelSource> model, OpenModelSource(model_path, options));
  ASSIGN_OR_RETURN(const std::unique_ptr<ModelSource> source,
                   OpenModelSource(source_path, options));
  ASSIGN_OR_RETURN(const std::vector<TensorPair> pairs, MatchTensors(*model, *source));
  std::vector<Sums> sums(pairs.size());
  RETURN_IF_ERROR(ForEach(pairs.size(), threads, [&](size_t i) -> absl::Status {
    ASSIGN_OR_RETURN(sums[i], CompareTensor(*model, *source, pairs[i]));
    return absl::OkStatus();
  }));
  ModelDifference difference;
  Sums all;
  for (size_t i = 0; i < sums.size(); ++i) {
    const SourceTensor& tensor = model->tensors()[pairs[i].in_model];
    const bool is_file = !model->is_conversion();
    difference.tensors.push_back(
        {.name = pairs[i].name,
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

}  // namespace

absl::StatusOr<uint64_t> VerifyModel(const fs::path& path, ThreadPool& threads) {
  ASSIGN_OR_RETURN(const LocatedModel model, LocateModel(path));
  auto verified = model.kind == ModelKind::kGgufFile ? VerifyGguf(model.path, threads)
                                                     : VerifyDirectory(model.path, threads);
  if (!verified.ok()) return AsUnsound(verified.status());
  return verified;
}

absl::StatusOr<ModelDifference> CompareTensors(const fs::path& model, const fs::path& source,
                                               ThreadPool& threads) {
  auto difference = Compare(model, source, threads);
  if (!difference.ok()) return AsUnsound(difference.status());
  return difference;
}

}  // namespace quantized
