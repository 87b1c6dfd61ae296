#include "core/pipeline/encode_device.h"

#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/pipeline/slices.h"
#include "core/tensor/text.h"

namespace quantized {
namespace {

using kernels::CudaDeviceInfo;
using kernels::CudaModule;
using kernels::CudaSessionSizes;
using kernels::CudaStatus;
using kernels::QuantTypeOf;
using kernels::RowBytes;
using kernels::TypeId;

constexpr std::string_view kNumbered = "cuda:";

absl::Status Unusable(std::string_view wanted, std::string_view why) {
  return MakeError(Error::kInvalidArgument, StrCat("device ", wanted, " cannot be used: ", why),
                   "Use --device auto or cpu to encode on the processor");
}

// N of "cuda:N".
std::optional<int> NumberOf(std::string_view wanted) {
  int number = 0;
  const std::string digits(wanted.substr(std::min(wanted.size(), kNumbered.size())));
  const bool is_number =
      wanted.starts_with(kNumbered) && !digits.empty() &&
      std::all_of(digits.begin(), digits.end(), [](char c) { return c >= '0' && c <= '9'; }) &&
      absl::SimpleAtoi(digits, &number);
  return is_number ? std::optional(number) : std::nullopt;
}

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
  if (wanted == "cpu") return EncodeDevice();
  if (wanted == "auto" || wanted.empty()) return ChooseCuda(std::nullopt, progress);
  if (wanted == "cuda") return ChooseCuda(0, progress);
  if (const std::optional<int> number = NumberOf(wanted)) return ChooseCuda(number, progress);
  return MakeError(Error::kInvalidArgument, StrCat("device '", wanted, "' is not known"),
                   "Use --device auto, cpu, cuda or cuda:N");
}

// `number`: the device that was asked for; none for one that nobody insists on.
absl::StatusOr<EncodeDevice> EncodeDevice::ChooseCuda(std::optional<int> number,
                                                      ProgressSink& progress) {
  const std::string asked = StrCat(kNumbered, number.value_or(0));
  std::string why_not;
  const std::optional<CudaModule> module = CudaModule::Open(why_not);
  if (!module) {
    if (!number) return EncodeDevice();
    return Unusable(asked, why_not);
  }
  if (number && *number >= module->device_count()) {
    return Unusable(asked, StrCat("the devices are cuda:0 to cuda:", module->device_count() - 1));
  }
  EncodeDevice device(*module, number.value_or(0));
  device.is_demanded_ = number.has_value();
  const CudaStatus status = device.Describe();
  if (status.ok()) return device;
  if (number) return Unusable(asked, status.text);
  progress.OnWarning(StrCat(asked, " cannot be used: ", status.text));
  return EncodeDevice();
}

CudaStatus EncodeDevice::Describe() {
  CudaDeviceInfo info;
  CudaStatus status = module_->Describe(device_, info);
  if (status.ok()) name_ = StrCat(kNumbered, device_, " ", info.name);
  return status;
}

bool EncodeDevice::Encodes(const OutputTensor& tensor) const {
  return module_ && tensor.type != tensor.source_type && module_->Encodes(tensor.type);
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
  if (is_demanded_) return status;
  progress.OnWarning(StrCat("encoding on the processor: ", status.message()));
  *this = EncodeDevice();
  return absl::OkStatus();
}

absl::Status EncodeDevice::OpenEncoders(const CudaSessionSizes& sizes, size_t threads) {
  const uint64_t needed_bytes = threads * module_->EncoderBytes(sizes);
  for (size_t i = 0; i < threads; ++i) {
    CudaStatus status;
    encoders_.push_back(module_->OpenEncoder(device_, sizes, status));
    if (status.code == kernels::kCudaOutOfMemory) {
      encoders_.clear();
      return OutOfMemory(StrCat("encoding with ", threads, " threads"), needed_bytes);
    }
    RETURN_IF_ERROR(StatusOf(status));
  }
  memory_bytes_ = needed_bytes;
  return absl::OkStatus();
}

void EncodeDevice::Close() { encoders_.clear(); }

absl::Status EncodeDevice::Load(size_t thread, std::span<const std::byte> source,
                                TypeId source_type) {
  return StatusOf(encoders_[thread]->Load(source.data(), source_type, source.size()));
}

absl::Status EncodeDevice::Encode(size_t thread, const kernels::CudaEncodeArguments& arguments) {
  return StatusOf(encoders_[thread]->Encode(arguments));
}

absl::Status EncodeDevice::StatusOf(const CudaStatus& status) const {
  switch (status.code) {
    case kernels::kCudaOk:
      return absl::OkStatus();
    case kernels::kCudaOutOfMemory:
      return OutOfMemory(status.text, 0);
    case kernels::kCudaOutOfHostMemory:
      return MakeError(Error::kOutOfMemory, StrCat(name_, ": ", status.text),
                       "Use fewer --threads, or --device cpu");
    default:
      return MakeError(Error::kInternal, StrCat(name_, " failed: ", status.text),
                       "Run it again, with --device cpu if the device stays in trouble");
  }
}

// `needed_bytes`: 0 where the driver has not told.
absl::Status EncodeDevice::OutOfMemory(std::string_view what, uint64_t needed_bytes) const {
  CudaDeviceInfo info;
  const bool is_known = module_->Describe(device_, info).ok();
  return MakeError(
      Error::kOutOfMemory,
      StrCat(what, " needs ", needed_bytes > 0 ? HumanBytes(needed_bytes) : "more memory", " of ",
             name_, ", ", is_known ? HumanBytes(info.free_bytes) : "an unknown amount", " is free"),
      "End other programs that use the device, or use fewer --threads or --device cpu");
}

}  // namespace quantized
