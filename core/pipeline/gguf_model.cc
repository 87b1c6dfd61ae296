#include "core/pipeline/gguf_model.h"

#include <algorithm>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "core/arch/tensor_names.h"
#include "core/base/status_macros.h"
#include "core/packed/gguf_blocks.h"
#include "core/packed/recode.h"
#include "core/pipeline/directory_plan.h"
#include "core/rebuild/model_config.h"
#include "kernels/types/quant_type.h"

namespace quantized {
namespace {

bool IsOfBlocks(const TensorSource::Tensor& tensor) {
  return kernels::QuantTypeOf(GgufTensorSource::TypeOf(tensor)).block_values > 1;
}

// The part of a layer that a linear's weight is in, all experts being one:
// "model.layers.3.self_attn", "model.layers.3.mlp".
std::string_view PartOf(std::string_view weight) {
  const size_t experts = weight.find(".experts.");
  if (experts != std::string_view::npos) return weight.substr(0, experts);
  return weight.substr(0, weight.rfind('.', weight.rfind('.') - 1));
}

}  // namespace

bool HasBlocks(std::span<const SourceTensor> tensors) {
  return std::ranges::any_of(tensors, [](const SourceTensor& tensor) {
    return kernels::QuantTypeOf(tensor.type).block_values > 1;
  });
}

absl::StatusOr<GgufModel> OpenGgufModel(const std::filesystem::path& file) {
  ASSIGN_OR_RETURN(std::unique_ptr<ModelSource> source, OpenModelSource(file, {}));
  ASSIGN_OR_RETURN(RebuiltConfig rebuilt, RebuildConfig(*source));
  GgufModel model{.source = std::move(source),
                  .architecture = rebuilt.architecture,
                  .hf_config = std::move(rebuilt.config)};
  ASSIGN_OR_RETURN(model.config, ForwardConfigOf(*model.architecture, model.hf_config));
  ASSIGN_OR_RETURN(model.tensors, GgufTensorSource::Open(file, model.config));
  return model;
}

std::vector<const TensorSource::Tensor*> LinearsOf(const GgufModel& model) {
  std::vector<const TensorSource::Tensor*> linears;
  std::set<std::string_view> quantized_parts;
  for (const TensorSource::Tensor* tensor : model.tensors->tensors()) {
    const auto match =
        MatchTensorName(*model.architecture, model.config.geometry.layers, tensor->name);
    if (!match.ok() || !*match || !IsQuantizedLinear(**match)) continue;
    linears.push_back(tensor);
    if (IsOfBlocks(*tensor)) quantized_parts.insert(PartOf(tensor->name));
  }
  if (quantized_parts.empty()) return linears;
  std::erase_if(linears, [&](const TensorSource::Tensor* linear) {
    return !quantized_parts.contains(PartOf(linear->name));
  });
  return linears;
}

absl::StatusOr<QuantizedLinear> LinearOfBlocks(const GgufTensorSource& source,
                                               const TensorSource::Tensor& weight, uint64_t first,
                                               uint64_t count, int bits) {
  const kernels::TypeId type = GgufTensorSource::TypeOf(weight);
  const uint64_t in = weight.shape[1];
  std::vector<std::byte> blocks(count * kernels::RowBytes(kernels::QuantTypeOf(type), in));
  RETURN_IF_ERROR(source.ReadBlocks(weight, first, count, blocks));
  return ReadBlocks(ModuleOfWeight(weight.name), type, blocks, count, in, bits);
}

absl::StatusOr<int64_t> GroupSizeOf(const GgufTensorSource& source,
                                    std::span<const TensorSource::Tensor* const> linears,
                                    int bits) {
  // Of one row of each linear, or of all.
  const auto fits = [&](int64_t size, bool whole) -> absl::StatusOr<bool> {
    for (const TensorSource::Tensor* weight : linears) {
      const uint64_t in = weight->shape[1];
      ASSIGN_OR_RETURN(const QuantizedLinear rows,
                       LinearOfBlocks(source, *weight, 0, whole ? weight->shape[0] : 1, bits));
      if (!HasGroupsOf(rows, size < 0 ? in : static_cast<size_t>(size))) return false;
    }
    return true;
  };
  for (const int64_t size : {-1, 128, 64}) {
    ASSIGN_OR_RETURN(bool fit, fits(size, /*whole=*/false));
    if (fit) {
      ASSIGN_OR_RETURN(fit, fits(size, /*whole=*/true));
    }
    if (fit) return size;
  }
  return 32;
}

}  // namespace quantized
