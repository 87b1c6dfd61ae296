#include "core/pipeline/model_check.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <unordered_set>

#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/gguf/reader.h"
#include "core/hf/config.h"
#include "core/pipeline/for_each.h"
#include "core/pipeline/model_pair.h"
#include "core/source/checkpoint_tensor.h"
#include "core/source/completeness.h"
#include "core/source/locate.h"
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
  std::unordered_set<std::string> linears;
  if (scheme) {
    ASSIGN_OR_RETURN(const auto packed, PackedWeights::Open(*weights, *scheme));
    RETURN_IF_ERROR(ForEach(packed->modules().size(), threads,
                            [&](size_t i) { return packed->Load(i).status(); }));
    for (const PackedModule& module : packed->modules()) linears.insert(module.name);
  }
  RETURN_IF_ERROR(CheckComplete(config, *weights));
  const std::vector<CheckpointTensor> tensors = PlainTensors(*weights);
  RETURN_IF_ERROR(
      ForEach(tensors.size(), threads, [&](size_t i) { return VerifyTensor(tensors[i]); }));
  const auto stands_alone = [&](const CheckpointTensor& tensor) {
    const size_t dot = std::min(tensor.name.rfind('.'), tensor.name.size());
    return tensor.name.substr(dot) == ".bias" || !linears.contains(tensor.name.substr(0, dot));
  };
  return linears.size() + static_cast<uint64_t>(std::ranges::count_if(tensors, stands_alone));
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

// Of each of the pair's parts, what `scales` says undone.
absl::StatusOr<std::vector<Sums>> CompareTensor(const ModelPair& models, const TensorPair& pair,
                                                const UndoneScales* scales) {
  std::vector<Sums> sums(pair.parts.size());
  const uint64_t rows_of_part = pair.rows() / sums.size();
  RETURN_IF_ERROR(
      models.ForEachRow(pair, [&](uint64_t row, std::span<float> found, std::span<float> wanted) {
        if (scales != nullptr) scales->Undo(row, found, wanted);
        Sums& part = sums[row / rows_of_part];
        for (size_t i = 0; i < found.size(); ++i) part.Add(found[i], wanted[i]);
      }));
  return sums;
}

absl::StatusOr<ModelDifference> Compare(const fs::path& model, const fs::path& source,
                                        ThreadPool& threads) {
  using State = UndoneScales::State;
  ASSIGN_OR_RETURN(const ModelPair models, ModelPair::Open(model, source));
  ModelDifference difference;
  std::vector<UndoneScales> scales;  // empty: none
  if (models.keys() == TensorKeys::kGguf) {
    ASSIGN_OR_RETURN(scales, FindFoldedScales(models, threads));
    if (!scales.empty()) difference.scales_undone = true;
  } else {
    ASSIGN_OR_RETURN(const bool any_differs, AnyNormDiffers(models));
    if (any_differs) difference.scales_undone = false;
  }
  const std::span<const TensorPair> pairs = models.pairs();
  std::vector<std::vector<Sums>> sums(pairs.size());
  RETURN_IF_ERROR(ForEach(pairs.size(), threads, [&](size_t i) -> absl::Status {
    ASSIGN_OR_RETURN(sums[i],
                     CompareTensor(models, pairs[i], scales.empty() ? nullptr : &scales[i]));
    return absl::OkStatus();
  }));
  Sums all;
  for (size_t i = 0; i < pairs.size(); ++i) {
    const State state = scales.empty() ? State::kNone : scales[i].state;
    const bool is_measured = state == State::kNone || state == State::kUndone;
    for (size_t part = 0; part < sums[i].size(); ++part) {
      const Sums& of_part = sums[i][part];
      TensorDifference& tensor = difference.tensors.emplace_back();
      tensor.name = pairs[i].parts[part].name;
      tensor.type = pairs[i].parts[part].type;
      tensor.scales = state;
      if (!is_measured) continue;
      tensor.relative_error = of_part.RelativeError();
      tensor.max_error = of_part.max_error;
      if (pairs[i].dims.size() < 2) continue;  // norms can be thousands of times as large
      all.differences += of_part.differences;
      all.values += of_part.values;
    }
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
