#include "core/source/checkpoint_tensor.h"

#include "core/base/str_cat.h"
#include "core/tensor/text.h"

namespace quantized {

std::string CheckpointTensor::Origin() const { return StrCat(file, ": ", PrintableName(name)); }

CheckpointTensor PlainTensor(const HfWeights::Tensor& tensor) {
  return {.name = tensor.info->name,
          .shape = tensor.info->shape,
          .file = tensor.file->bytes().name(),
          .dtype = tensor.info->dtype,
          .read = [tensor](uint64_t first_byte, std::span<std::byte> out) {
            return tensor.file->Read(*tensor.info, first_byte, out);
          }};
}

std::vector<CheckpointTensor> PlainTensors(const HfWeights& weights) {
  std::vector<CheckpointTensor> tensors;
  for (const HfWeights::Tensor& tensor : weights.tensors()) tensors.push_back(PlainTensor(tensor));
  return tensors;
}

}  // namespace quantized
