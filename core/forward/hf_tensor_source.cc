#include "core/forward/hf_tensor_source.h"

#include <span>
#include <utility>
#include <vector>

#include "core/arch/tensor_names.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/source/widen.h"
#include "core/tensor/dtype.h"

namespace quantized {
namespace {

bool IsFloat(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16;
}

}  // namespace

absl::StatusOr<std::unique_ptr<HfTensorSource>> HfTensorSource::Open(
    const std::filesystem::path& directory, const Architecture& architecture) {
  ASSIGN_OR_RETURN(std::unique_ptr<HfWeights> weights, HfWeights::Open(directory));
  std::unique_ptr<HfTensorSource> source(new HfTensorSource(std::move(weights)));
  for (const HfWeights::Tensor& tensor : source->weights_->tensors()) {
    if (!IsFloat(tensor.info->dtype)) continue;
    Stored stored;
    stored.name = tensor.info->name;
    stored.shape = tensor.info->shape;
    stored.type = std::string(RowOf(tensor.info->dtype).name);
    stored.source = tensor;
    std::string plain = PlainName(architecture, tensor.info->name);
    const auto [added, is_new] = source->tensors_.emplace(std::move(plain), std::move(stored));
    if (!is_new) {
      return MakeError(Error::kValidationFailed,
                       StrCat(tensor.Origin(), ": a second tensor of this name"));
    }
    source->order_.push_back(&added->second);
  }
  return source;
}

const TensorSource::Tensor* HfTensorSource::Find(std::string_view name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : &found->second;
}

absl::Status HfTensorSource::ReadRows(const Tensor& tensor, uint64_t first, uint64_t count,
                                      float* out) const {
  const auto& [file, info] = static_cast<const Stored&>(tensor).source;
  const uint64_t cols = tensor.shape.empty() ? 1 : tensor.shape.back();
  const uint64_t value_bytes = RowOf(info->dtype).size_bytes;
  std::vector<std::byte> bytes(count * cols * value_bytes);
  RETURN_IF_ERROR(file->Read(*info, first * cols * value_bytes, bytes));
  WidenToF32(info->dtype, bytes.data(), count * cols, out);
  return absl::OkStatus();
}

}  // namespace quantized
