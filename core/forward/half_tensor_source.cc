#include "core/forward/half_tensor_source.h"

#include <cmath>

#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "kernels/types/half.h"

namespace quantized {

absl::Status HalfTensorSource::ReadRows(const Tensor& tensor, uint64_t first, uint64_t count,
                                        float* out) const {
  RETURN_IF_ERROR(source_.ReadRows(tensor, first, count, out));
  const uint64_t values = count * (tensor.shape.empty() ? 1 : tensor.shape.back());
  for (uint64_t i = 0; i < values; ++i) {
    const float half = kernels::F16ToF32(kernels::F32ToF16(out[i]));
    if (!std::isfinite(half)) {
      return MakeError(Error::kValidationFailed,
                       StrCat("tensor ", tensor.name, ": found ", out[i],
                              ", expected values that float16 can hold (up to 65504)"));
    }
    out[i] = half;
  }
  return absl::OkStatus();
}

}  // namespace quantized
