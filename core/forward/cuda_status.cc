#include "core/forward/cuda_status.h"

#include "core/base/error.h"
#include "core/base/str_cat.h"
#include "core/tensor/text.h"

namespace quantized {

absl::Status StatusOfCuda(const kernels::CudaStatus& status, std::string_view device) {
  switch (status.code) {
    case kernels::kCudaOk:
      return absl::OkStatus();
    case kernels::kCudaOutOfMemory:
    case kernels::kCudaOutOfHostMemory:
      return MakeError(Error::kOutOfMemory, StrCat(device, ": ", status.text),
                       "Use fewer --threads, or --device cpu");
    default:
      return MakeError(Error::kInternal, StrCat(device, " failed: ", status.text),
                       "Run it again, with --device cpu if the device stays in trouble");
  }
}

absl::Status OutOfCudaMemory(std::string_view what, uint64_t needed_bytes,
                             std::optional<uint64_t> free_bytes, std::string_view device,
                             std::string_view remedy) {
  return MakeError(Error::kOutOfMemory,
                   StrCat(what, " needs ", HumanBytes(needed_bytes), " of ", device, ", ",
                          free_bytes ? HumanBytes(*free_bytes) : "an unknown amount", " is free"),
                   StrCat("End other programs that use the device, ", remedy, ", or --device cpu"));
}

}  // namespace quantized
