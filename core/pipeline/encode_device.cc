#include "core/pipeline/encode_device.h"

#include <algorithm>
#include <utility>

#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/forward/cuda_status.h"
#include "core/pipeline/slices.h"

namespace quantized {
namespace {

using kernels::CudaDeviceInfo;
using kernels::CudaModule;
using kernels::CudaSessionSizes;
using kernels::CudaStatus;
using kernels::QuantTypeOf;
using kernels::RowBytes;
using kernels::TypeId;

// Of the largest slice on its way through a device.
CudaSessionSizes SizesOf(const EncodeDevice& device, std::span<const QuantizePlan* const> plans) {
  CudaSessionSizes sizes = {};
  for (const QuantizePlan* plan : plans) {
    for (const OutputTensor& tensor : plan->tensors) {
      if (!device.Encodes(tensor)) continue;
      const TypeId source = IsDeviceSource(tensor.source_type) ? tensor.source_type : TypeId::kF32;
      const uint64_t rows = std::min(SliceRows(tensor), tensor.rows);
      sizes.source_bytes =
          std::max(sizes.source_bytes, rows * RowBytes(QuantTypeOf(source), tensor.cols));
      sizes.encoded_bytes =
          std::max(sizes.encoded_bytes, rows * RowBytes(QuantTypeOf(tensor.type), tensor.cols));
      sizes.rows = std::max(sizes.rows, rows);
      sizes.cols = std::max(sizes.cols, tensor.cols);
    }
  }
  return sizes;
}

}  // namespace

bool IsDeviceSource(TypeId type) {
  return type == TypeId::kF32 || type == TypeId::kF16 || type == TypeId::kBF16;
}

absl::StatusOr<EncodeDevice> EncodeDevice::Choose(std::string_view wanted, ProgressSink& progress) {
  EncodeDevice device;
  ASSIGN_OR_RETURN(device.chosen_, ChooseDevice<CudaModule>(wanted, progress));
  return device;
}

bool EncodeDevice::Encodes(const OutputTensor& tensor) const {
  return chosen_ && tensor.type != tensor.source_type && chosen_->module.Encodes(tensor.type);
}

bool EncodeDevice::EncodesAnyOf(const QuantizePlan& plan) const {
  return std::any_of(plan.tensors.begin(), plan.tensors.end(),
                     [this](const OutputTensor& tensor) { return Encodes(tensor); });
}

absl::Status EncodeDevice::Open(std::span<const QuantizePlan* const> plans, size_t threads,
                                ProgressSink& progress) {
  const bool is_needed = std::any_of(
      plans.begin(), plans.end(), [this](const QuantizePlan* plan) { return EncodesAnyOf(*plan); });
  if (!is_needed) return absl::OkStatus();
  absl::Status status = OpenEncoders(SizesOf(*this, plans), threads);
  if (status.ok()) return status;
  Close();
  if (chosen_->is_demanded) return status;
  progress.OnWarning(StrCat("encoding on the processor: ", status.message()));
  *this = EncodeDevice();
  return absl::OkStatus();
}

absl::Status EncodeDevice::OpenEncoders(const CudaSessionSizes& sizes, size_t threads) {
  const CudaModule& module = chosen_->module;
  const uint64_t needed_bytes = threads * module.EncoderBytes(sizes);
  for (size_t i = 0; i < threads; ++i) {
    CudaStatus status;
    encoders_.push_back(module.OpenEncoder(chosen_->number, sizes, status));
    if (status.code == kernels::kCudaOutOfMemory) {
      encoders_.clear();
      CudaDeviceInfo info;
      const bool is_known = module.Describe(chosen_->number, info).ok();
      return OutOfCudaMemory(StrCat("encoding with ", threads, " threads"), needed_bytes,
                             is_known ? std::optional(info.free_bytes) : std::nullopt, name(),
                             "use fewer --threads");
    }
    RETURN_IF_ERROR(StatusOfCuda(status, name()));
  }
  memory_bytes_ = needed_bytes;
  return absl::OkStatus();
}

void EncodeDevice::Close() { encoders_.clear(); }

absl::Status EncodeDevice::Load(size_t thread, std::span<const std::byte> source,
                                TypeId source_type) {
  return StatusOfCuda(encoders_[thread]->Load(source.data(), source_type, source.size()), name());
}

absl::Status EncodeDevice::Encode(size_t thread, const kernels::CudaEncodeArguments& arguments) {
  return StatusOfCuda(encoders_[thread]->Encode(arguments), name());
}

}  // namespace quantized
