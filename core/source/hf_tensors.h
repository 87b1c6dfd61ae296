// The tensors of a conversion, in the order of the GGUF file: names mapped, shapes checked against
// the configuration, types and transforms chosen. Rules: docs/design/hf-to-gguf.md, "Tensors".
#pragma once

#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "core/arch/architecture.h"
#include "core/arch/geometry.h"
#include "core/hf/config.h"
#include "core/source/checkpoint_tensor.h"
#include "core/source/converted_tensor.h"
#include "core/source/model_source.h"

namespace quantized {

struct PlannedTensors {
  std::vector<SourceTensor> tensors;       // what a ModelSource offers
  std::vector<ConvertedTensor> converted;  // how each is made; same indices
};

// `conversion_type` is that of the matrices: F32, F16 or BF16. Where checkpoint tensors come as
// blocks it is the blocks' type: they stay what they are, and so do other matrices of 16 or 32
// bits. Errors: kValidationFailed for a tensor that has no place in the architecture, lacks one,
// has another shape than the configuration gives it, or stands there twice.
absl::StatusOr<PlannedTensors> PlanTensors(const Architecture& architecture, const HfConfig& config,
                                           const Geometry& geometry,
                                           std::span<const CheckpointTensor> tensors,
                                           kernels::TypeId conversion_type);

// Leaves out the rows beyond `vocabulary` of tensors with Transform::kCutToVocabulary.
void CutToVocabulary(uint64_t vocabulary, PlannedTensors& planned);

}  // namespace quantized
