#include "core/source/hf_tensors.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "core/arch/long_rope.h"
#include "core/arch/rope_freqs.h"
#include "core/arch/tensor_names.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/source/completeness.h"
#include "core/tensor/shape.h"

namespace quantized {
namespace {

using kernels::TypeId;

// The shape that the configuration gives the tensor. A vocabulary that it does not give, or that is
// cut to its size later, is taken from `found`.
std::vector<uint64_t> ExpectedShape(const TensorMatch& match, const Geometry& geometry,
                                    std::span<const uint64_t> found) {
  std::vector<uint64_t> shape = ShapeOf(*match.rule, match.is_bias, geometry);
  const bool cut = match.rule->transform == Transform::kCutToVocabulary;
  if (match.rule->rows == Dim::kVocabulary && !found.empty() &&
      (geometry.vocabulary == 0 || (cut && found[0] > geometry.vocabulary))) {
    shape[0] = found[0];
  }
  return shape;
}

// Beside blocks, what has 16 bits keeps its type.
TypeId TypeBesideBlocks(const CheckpointTensor& source) {
  if (source.blocks) return *source.blocks;
  if (source.dtype == DType::kF16) return TypeId::kF16;
  return source.dtype == DType::kBF16 ? TypeId::kBF16 : TypeId::kF32;
}

// Vectors, norms, routers and whatever is no weight are F32, whatever the matrices are.
TypeId TypeFor(std::string_view gguf_name, size_t dimensions, TypeId conversion_type,
               const CheckpointTensor& source) {
  const bool is_matrix = dimensions > 1 && gguf_name.ends_with(".weight") &&
                         !gguf_name.ends_with("_norm.weight") &&
                         !gguf_name.ends_with(".ffn_gate_inp.weight");
  if (!is_matrix) return TypeId::kF32;
  const bool is_float = kernels::QuantTypeOf(conversion_type).block_values == 1;
  return is_float ? conversion_type : TypeBesideBlocks(source);
}

class Planner {
 public:
  Planner(const Architecture& architecture, const Geometry& geometry, TypeId conversion_type)
      : architecture_(architecture), geometry_(geometry), conversion_type_(conversion_type) {}

  absl::Status AddRopeFreqs(const HfConfig& config) {
    if (!architecture_.writes_rope_freqs) return absl::OkStatus();
    ASSIGN_OR_RETURN(std::vector<float> freqs, RopeFreqs(config, geometry_));
    return freqs.empty() ? absl::OkStatus() : AddGenerated(kRopeFreqsTensor, std::move(freqs));
  }

  absl::Status AddLongRope(const HfConfig& config) {
    if (!architecture_.writes_long_rope) return absl::OkStatus();
    ASSIGN_OR_RETURN(std::optional<LongRope> rope, LongRopeOf(config));
    if (!rope) return absl::OkStatus();
    RETURN_IF_ERROR(AddGenerated(kLongFactorsTensor, std::move(rope->long_factors)));
    return AddGenerated(kShortFactorsTensor, std::move(rope->short_factors));
  }

  absl::Status CheckHasExperts() const {
    if (geometry_.experts > 0 || StackedRules() == 0) return absl::OkStatus();
    return MakeError(
        Error::kValidationFailed,
        "config.json: num_local_experts, num_experts: expected a whole number above 0, "
        "found nothing or 0");
  }

  absl::Status AddFromCheckpoint(const CheckpointTensor& source) {
    ASSIGN_OR_RETURN(std::optional<TensorMatch> match,
                     MatchTensorName(architecture_, geometry_.layers, source.name), << source.file);
    if (!match) return absl::OkStatus();
    const std::vector<uint64_t>& shape = source.shape;
    const std::vector<uint64_t> expected = ExpectedShape(*match, geometry_, shape);
    if (shape != expected) {
      return MakeError(Error::kValidationFailed,
                       StrCat(source.Origin(), ": found shape ", ShapeText(shape), ", expected ",
                              ShapeText(expected), " from config.json"),
                       "Check that config.json and the weights belong together");
    }
    if (IsStacked(*match->rule)) return AddExpert(*match, source);
    ConvertedTensor tensor;
    tensor.sources = {source};
    tensor.rows = shape[0];
    tensor.cols = shape.size() > 1 ? shape[1] : 1;
    tensor.type = TypeFor(match->gguf_name, shape.size(), conversion_type_, source);
    tensor.transform = TransformOf(*match->rule, match->is_bias);
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
        const bool stacked = IsStacked(rule);
        const uint32_t expert = stacked ? FirstMissingExpert(rule, layer) : 0;
        if (stacked && expert == geometry_.experts) continue;  // another matrix of the layer misses
        return MissingTensor(rule, layer, expert, geometry_);
      }
    }
    return absl::OkStatus();
  }

  PlannedTensors Finish() { return std::move(planned_); }

 private:
  // The matrices of a layer's experts that have come, by rule and expert.
  using Experts = std::map<std::pair<const TensorRule*, uint32_t>, CheckpointTensor>;

  absl::Status AddGenerated(std::string_view name, std::vector<float> values) {
    ConvertedTensor tensor;
    tensor.rows = values.size();
    tensor.cols = 1;
    tensor.generated = std::move(values);
    const std::vector<uint64_t> dims = {tensor.rows};
    return Add(std::string(name), dims, "config.json: rope_scaling", std::move(tensor));
  }

  size_t StackedRules() const {
    return static_cast<size_t>(std::ranges::count_if(architecture_.tensors, IsStacked));
  }

  // Where the last matrix of a layer's experts comes, all of that layer's stacks come.
  absl::Status AddExpert(const TensorMatch& match, const CheckpointTensor& source) {
    if (match.expert >= geometry_.experts) {
      return MakeError(
          Error::kValidationFailed,
          StrCat(source.Origin(), ": expert ", match.expert, " is beyond the ", geometry_.experts,
                 " experts of config.json: num_local_experts, num_experts"));
    }
    Experts& experts = experts_[match.layer];
    if (!experts.try_emplace({match.rule, match.expert}, source).second) {
      return MakeError(Error::kValidationFailed,
                       StrCat(source.Origin(), ": a second tensor that is written as expert ",
                              match.expert, " of ", match.gguf_name));
    }
    if (experts.size() < geometry_.experts * StackedRules()) return absl::OkStatus();
    for (const TensorRule& rule : architecture_.tensors) {
      if (!IsStacked(rule)) continue;
      RETURN_IF_ERROR(AddStack(rule, match.layer, experts));
    }
    return absl::OkStatus();
  }

  // Precondition: every expert is there, each of the shape that the configuration gives it.
  absl::Status AddStack(const TensorRule& rule, uint32_t layer, const Experts& experts) {
    ConvertedTensor tensor;
    for (uint32_t expert = 0; expert < geometry_.experts; ++expert) {
      tensor.sources.push_back(experts.at({&rule, expert}));
    }
    const uint64_t rows = geometry_.Size(rule.rows);
    std::string name = GgufName(rule, layer);
    const auto other = std::ranges::find_if(tensor.sources, [&](const CheckpointTensor& s) {
      return s.blocks != tensor.sources[0].blocks;
    });
    if (other != tensor.sources.end()) {
      return MakeError(
          Error::kUnsupportedConversion,
          StrCat(other->Origin(), ": found one expert quantized and another not, which ",
                 "become one tensor of one type, ", name),
          "Quantize the original model");
    }
    tensor.rows = geometry_.experts * rows;
    tensor.cols = geometry_.Size(rule.cols);
    tensor.type = TypeFor(name, /*dimensions=*/3, conversion_type_, tensor.sources[0]);
    std::vector<uint64_t> dims = {tensor.cols, rows, geometry_.experts};
    std::string origin = tensor.sources[0].Origin();
    if (geometry_.experts > 1) StrAppend(&origin, " and ", geometry_.experts - 1, " more");
    return Add(std::move(name), std::move(dims), std::move(origin), std::move(tensor));
  }

  // The number of experts where none misses.
  uint32_t FirstMissingExpert(const TensorRule& rule, uint32_t layer) const {
    const auto found = experts_.find(layer);
    uint32_t expert = 0;
    while (expert < geometry_.experts && found != experts_.end() &&
           found->second.contains({&rule, expert})) {
      ++expert;
    }
    return expert;
  }

  absl::Status SetHeads(ConvertedTensor& tensor) const {
    if (tensor.transform == Transform::kInterleaveQuery) tensor.heads = geometry_.heads;
    if (tensor.transform == Transform::kInterleaveKey) tensor.heads = geometry_.kv_heads;
    if (tensor.heads != 0 && tensor.rows % (2 * tensor.heads) != 0) {
      return MakeError(
          Error::kValidationFailed,
          StrCat(tensor.sources[0].Origin(), ": found ", tensor.rows, " rows, expected ",
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
  std::map<uint32_t, Experts> experts_;  // by layer
  PlannedTensors planned_;
};

}  // namespace

absl::StatusOr<PlannedTensors> PlanTensors(const Architecture& architecture, const HfConfig& config,
                                           const Geometry& geometry,
                                           std::span<const CheckpointTensor> tensors,
                                           TypeId conversion_type) {
  Planner planner(architecture, geometry, conversion_type);
  RETURN_IF_ERROR(planner.CheckHasExperts());
  RETURN_IF_ERROR(planner.AddRopeFreqs(config));
  RETURN_IF_ERROR(planner.AddLongRope(config));
  for (const CheckpointTensor& source : tensors) {
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
