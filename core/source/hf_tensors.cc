#include "core/source/hf_tensors.h"

#include <algorithm>
#include <set>
#include <string>
#include <utility>

#include "core/arch/rope_freqs.h"
#include "core/arch/tensor_names.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/tensor/shape.h"

namespace quantized {
namespace {

using kernels::TypeId;

// The shape that the configuration gives the tensor, outermost dimension first. A vocabulary that
// the configuration does not give, or that is cut to its size later, is taken from `found`.
std::vector<uint64_t> ExpectedShape(const TensorMatch& match, const Geometry& geometry,
                                    std::span<const uint64_t> found) {
  const auto size = [&](Dim dim, size_t axis) {
    const bool cut = match.rule->transform == Transform::kCutToVocabulary;
    if (dim == Dim::kVocabulary && axis < found.size() &&
        (geometry.vocabulary == 0 || (cut && found[axis] > geometry.vocabulary))) {
      return found[axis];
    }
    return geometry.Size(dim);
  };
  const TensorRule& rule = *match.rule;
  if (match.is_bias) return {size(rule.rows == Dim::kNone ? rule.cols : rule.rows, 0)};
  if (rule.rows == Dim::kNone) return {size(rule.cols, 0)};
  return {size(rule.rows, 0), size(rule.cols, 1)};
}

// Vectors, norms and whatever is no weight are F32, whatever the matrices are.
TypeId TypeFor(std::string_view gguf_name, size_t dimensions, TypeId conversion_type) {
  const bool is_matrix =
      dimensions > 1 && gguf_name.ends_with(".weight") && !gguf_name.ends_with("_norm.weight");
  return is_matrix ? conversion_type : TypeId::kF32;
}

Transform TransformFor(const TensorMatch& match) {
  const bool of_weights_only = match.rule->transform == Transform::kAddOne;
  return match.is_bias && of_weights_only ? Transform::kNone : match.rule->transform;
}

class Planner {
 public:
  Planner(const Architecture& architecture, const Geometry& geometry, TypeId conversion_type)
      : architecture_(architecture), geometry_(geometry), conversion_type_(conversion_type) {}

  absl::Status AddRopeFreqs(const HfConfig& config) {
    if (!architecture_.writes_rope_freqs) return absl::OkStatus();
    ASSIGN_OR_RETURN(std::vector<float> freqs, RopeFreqs(config, geometry_));
    if (freqs.empty()) return absl::OkStatus();
    ConvertedTensor tensor;
    tensor.rows = freqs.size();
    tensor.cols = 1;
    tensor.generated = std::move(freqs);
    return Add("rope_freqs.weight", {tensor.rows}, "config.json: rope_scaling", std::move(tensor));
  }

  absl::Status AddFromCheckpoint(const HfWeights::Tensor& source) {
    ASSIGN_OR_RETURN(std::optional<TensorMatch> match,
                     MatchTensorName(architecture_, geometry_.layers, source.info->name),
                     << source.file->bytes().name());
    if (!match) return absl::OkStatus();
    const std::vector<uint64_t>& shape = source.info->shape;
    const std::vector<uint64_t> expected = ExpectedShape(*match, geometry_, shape);
    if (shape != expected) {
      return MakeError(Error::kValidationFailed,
                       StrCat(source.Origin(), ": found shape ", ShapeText(shape), ", expected ",
                              ShapeText(expected), " from config.json"),
                       "Check that config.json and the weights belong together");
    }
    ConvertedTensor tensor;
    tensor.source = source;
    tensor.rows = shape[0];
    tensor.cols = shape.size() > 1 ? shape[1] : 1;
    tensor.type = TypeFor(match->gguf_name, shape.size(), conversion_type_);
    tensor.transform = TransformFor(*match);
    RETURN_IF_ERROR(SetHeads(tensor));
    return Add(std::move(match->gguf_name), {shape.rbegin(), shape.rend()}, source.Origin(),
               std::move(tensor));
  }

  // Every tensor that the architecture needs must have come.
  absl::Status CheckComplete() const {
    for (const TensorRule& rule : architecture_.tensors) {
      const bool in_layers = rule.gguf.find("{i}") != std::string_view::npos;
      for (uint32_t layer = 0; !rule.optional && layer < (in_layers ? geometry_.layers : 1);
           ++layer) {
        if (names_.contains(GgufName(rule, layer))) continue;
        return MakeError(
            Error::kValidationFailed,
            StrCat("tensor ", CheckpointName(rule, layer), ": expected by config.json (",
                   geometry_.layers, " layers), found in no file"),
            "Check that all weights are there and belong to this config.json");
      }
    }
    return absl::OkStatus();
  }

  PlannedTensors Finish() { return std::move(planned_); }

 private:
  absl::Status SetHeads(ConvertedTensor& tensor) const {
    if (tensor.transform == Transform::kInterleaveQuery) tensor.heads = geometry_.heads;
    if (tensor.transform == Transform::kInterleaveKey) tensor.heads = geometry_.kv_heads;
    if (tensor.heads != 0 && tensor.rows % (2 * tensor.heads) != 0) {
      return MakeError(Error::kValidationFailed,
                       StrCat(tensor.source.Origin(), ": found ", tensor.rows, " rows, expected ",
                              tensor.heads, " heads of an even number of rows"));
    }
    return absl::OkStatus();
  }

  absl::Status Add(std::string name, std::vector<uint64_t> dims, std::string origin,
                   ConvertedTensor tensor) {
    if (!names_.insert(name).second) {
      return MakeError(Error::kValidationFailed,
                       StrCat(origin, ": a second tensor that is written as ", name));
    }
    planned_.tensors.push_back({std::move(name), tensor.type, std::move(dims), std::move(origin)});
    planned_.converted.push_back(std::move(tensor));
    return absl::OkStatus();
  }

  const Architecture& architecture_;
  const Geometry& geometry_;
  const TypeId conversion_type_;
  std::set<std::string> names_;
  PlannedTensors planned_;
};

}  // namespace

absl::StatusOr<PlannedTensors> PlanTensors(const Architecture& architecture, const HfConfig& config,
                                           const Geometry& geometry, const HfWeights& weights,
                                           TypeId conversion_type) {
  Planner planner(architecture, geometry, conversion_type);
  RETURN_IF_ERROR(planner.AddRopeFreqs(config));
  for (const HfWeights::Tensor& source : weights.tensors()) {
    RETURN_IF_ERROR(planner.AddFromCheckpoint(source));
  }
  RETURN_IF_ERROR(planner.CheckComplete());
  return planner.Finish();
}

void CutToVocabulary(uint64_t vocabulary, PlannedTensors& planned) {
  for (size_t i = 0; i < planned.tensors.size(); ++i) {
    ConvertedTensor& tensor = planned.converted[i];
    if (tensor.transform != Transform::kCutToVocabulary) continue;
    tensor.rows = std::min(tensor.rows, vocabulary);
    planned.tensors[i].dims.back() = tensor.rows;
  }
}

}  // namespace quantized
