#include "core/pipeline/model_pair.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <string_view>
#include <unordered_map>

#include "core/arch/architecture.h"
#include "core/arch/tensor_names.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/hf/config.h"
#include "core/source/locate.h"
#include "core/tensor/shape.h"
#include "core/tensor/text.h"

namespace quantized {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kValuesAtOnce = 1 << 20;

// Keys of the output head and of what stands for it where there is none.
struct HeadKeys {
  std::string_view head, embedding;
};
constexpr HeadKeys kGgufHead = {"output.weight", "token_embd.weight"};
constexpr HeadKeys kCheckpointHead = {"lm_head.weight", "model.embed_tokens.weight"};

absl::StatusOr<TensorKeys> KeysFor(const LocatedModel& model, const LocatedModel& source) {
  for (const LocatedModel* one : {&model, &source}) {
    if (one->kind == ModelKind::kGgufFile) return TensorKeys::kGguf;
  }
  for (const LocatedModel* one : {&model, &source}) {
    ASSIGN_OR_RETURN(const HfConfig config, HfConfig::Read(one->path));
    if (FindArchitecture(config.architecture()) == nullptr) return TensorKeys::kCheckpoint;
  }
  return TensorKeys::kGguf;
}

using Places = std::unordered_map<std::string_view, size_t>;

Places PlacesOf(const ComparedModel& model) {
  Places places;
  for (size_t i = 0; i < model.tensors().size(); ++i) places[model.tensors()[i].key] = i;
  return places;
}

std::optional<size_t> PlaceOf(const Places& places, const HeadKeys& keys, std::string_view key) {
  auto found = places.find(key);
  if (found == places.end() && key == keys.head) found = places.find(keys.embedding);
  if (found == places.end()) return std::nullopt;
  return found->second;
}

std::string NameOf(std::span<const ComparedTensor::Part> parts) {
  const std::string name = PrintableName(parts[0].name);
  return parts.size() == 1 ? name : StrCat(name, " and ", parts.size() - 1, " more");
}

absl::Status WrongSource(std::string_view tensor, std::string_view what) {
  return MakeError(Error::kValidationFailed, StrCat("tensor ", tensor, ": ", what),
                   "Check that the model was made of this source");
}

// The rows that both have of a tensor which one of them may have more of.
std::vector<uint64_t> CommonDims(const ComparedTensor& tensor, const ComparedTensor& other) {
  const ComparedTensor& longer = tensor.dims.back() > other.dims.back() ? tensor : other;
  std::vector<uint64_t> dims = tensor.dims;
  if (longer.may_be_cut) dims.back() = std::min(tensor.dims.back(), other.dims.back());
  return dims;
}

}  // namespace

uint64_t TensorPair::rows() const {
  uint64_t rows = 1;
  for (size_t i = 1; i < dims.size(); ++i) rows *= dims[i];
  return rows;
}

std::string TensorPair::Name() const { return NameOf(parts); }

absl::StatusOr<ModelPair> ModelPair::Open(const fs::path& model, const fs::path& source) {
  ASSIGN_OR_RETURN(const LocatedModel located, LocateModel(model));
  ASSIGN_OR_RETURN(const LocatedModel located_source, LocateModel(source));
  ASSIGN_OR_RETURN(const TensorKeys keys, KeysFor(located, located_source));
  ASSIGN_OR_RETURN(auto opened, ComparedModel::Open(located, keys));
  ASSIGN_OR_RETURN(auto opened_source, ComparedModel::Open(located_source, keys));
  ModelPair pair(keys, std::move(opened), std::move(opened_source));
  RETURN_IF_ERROR(pair.Match());
  return pair;
}

absl::Status ModelPair::Match() {
  const Places in_model = PlacesOf(*model_), in_source = PlacesOf(*source_);
  const HeadKeys& head = keys_ == TensorKeys::kGguf ? kGgufHead : kCheckpointHead;
  for (size_t i = 0; i < model_->tensors().size(); ++i) {
    const ComparedTensor& tensor = model_->tensors()[i];
    if (const auto place = PlaceOf(in_source, head, tensor.key)) {
      RETURN_IF_ERROR(Add(tensor.parts, i, *place));
    } else if (!IsGeneratedTensor(tensor.key)) {
      return WrongSource(NameOf(tensor.parts), "the source does not have it");
    }
  }
  std::vector<std::string> lost;
  for (size_t i = 0; i < source_->tensors().size(); ++i) {
    const ComparedTensor& tensor = source_->tensors()[i];
    if (in_model.contains(tensor.key)) continue;
    const std::string name =
        model_->is_directory() ? NameOf(tensor.parts) : PrintableName(tensor.key);
    if (const auto place = PlaceOf(in_model, head, tensor.key)) {
      const std::string& type = model_->tensors()[*place].parts[0].type;
      RETURN_IF_ERROR(Add({{name, type}}, *place, i));
    } else if (!IsGeneratedTensor(tensor.key)) {
      lost.push_back(name);
    }
  }
  if (lost.empty()) return absl::OkStatus();
  return WrongSource(lost[0],
                     StrCat("the source has it, the model does not",
                            lost.size() == 1 ? "" : StrCat("; nor ", lost.size() - 1, " more")));
}

absl::Status ModelPair::Add(std::vector<ComparedTensor::Part> parts, size_t in_model,
                            size_t in_source) {
  const ComparedTensor& tensor = model_->tensors()[in_model];
  const ComparedTensor& other = source_->tensors()[in_source];
  const std::vector<uint64_t> dims = CommonDims(tensor, other);
  if (dims != CommonDims(other, tensor)) {
    return WrongSource(NameOf(parts), StrCat("found shape ", ShapeText(tensor.dims),
                                             ", the source has ", ShapeText(other.dims)));
  }
  pairs_.push_back({std::move(parts), in_model, in_source, dims});
  return absl::OkStatus();
}

absl::Status ModelPair::ForEachRow(const TensorPair& pair, const TakeRow& take) const {
  const auto check = [&](std::string_view whose, const ComparedTensor& tensor,
                         std::span<const float> values) {
    if (std::ranges::all_of(values, [](float value) { return std::isfinite(value); })) {
      return absl::OkStatus();
    }
    return MakeError(Error::kValidationFailed,
                     StrCat("tensor ", pair.Name(), " of the ", whose, ", ", tensor.origin,
                            ": holds values that are no finite numbers"));
  };
  const uint64_t cols = pair.cols(), rows = pair.rows();
  const uint64_t at_once = std::max<uint64_t>(1, kValuesAtOnce / std::max<uint64_t>(1, cols));
  std::vector<float> found, wanted;
  for (uint64_t first = 0; first < rows; first += at_once) {
    const uint64_t count = std::min(at_once, rows - first);
    RETURN_IF_ERROR(model_->ReadRows(pair.in_model, first, count, found));
    RETURN_IF_ERROR(source_->ReadRows(pair.in_source, first, count, wanted));
    RETURN_IF_ERROR(check("model", model_->tensors()[pair.in_model], found));
    RETURN_IF_ERROR(check("source", source_->tensors()[pair.in_source], wanted));
    for (uint64_t i = 0; i < count; ++i) {
      take(first + i, std::span(found).subspan(i * cols, cols),
           std::span(wanted).subspan(i * cols, cols));
    }
  }
  return absl::OkStatus();
}

}  // namespace quantized
