// Whether a job that keeps and quantizes weights as float16 can hold all of them, asked before it
// makes anything.
#pragma once

#include <span>

#include "absl/status/status.h"
#include "core/base/job_context.h"
#include "core/forward/half_tensor_source.h"
#include "core/forward/tensor_source.h"

namespace quantized {

// Reads each value once. Errors: of the first tensor in order that has one, kValidationFailed for a
// value that is NaN, infinite or beyond float16, or that of reading it; kCancelled.
absl::Status CheckHalves(const HalfTensorSource& half,
                         std::span<const TensorSource::Tensor* const> tensors, JobContext& context);

}  // namespace quantized
