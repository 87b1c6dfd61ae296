#include "core/source/weights_store.h"

namespace quantized {

WeightsStore::WeightsStore(const HfWeights& weights) {
  for (const HfWeights::Tensor& tensor : weights.tensors()) {
    tensors_.emplace(tensor.info->name, tensor);
  }
}

std::vector<std::string> WeightsStore::Names() const {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : tensors_) names.push_back(name);
  return names;
}

std::optional<TensorStore::Tensor> WeightsStore::Find(std::string_view name) const {
  const auto found = tensors_.find(std::string(name));
  if (found == tensors_.end()) return std::nullopt;
  const safetensors::TensorInfo& info = *found->second.info;
  return Tensor{info.dtype, info.shape, info.size_bytes};
}

absl::Status WeightsStore::Read(std::string_view name, std::span<std::byte> out) const {
  const HfWeights::Tensor& tensor = tensors_.at(std::string(name));
  return tensor.file->Read(*tensor.info, 0, out);
}

}  // namespace quantized
