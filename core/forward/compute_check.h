// Whether a device can be trusted with a walk: a driver or a library that computes wrongly would
// spoil everything that comes out, and nothing after it would tell.
#pragma once

#include <cstddef>

#include "absl/status/status.h"
#include "core/base/thread_pool.h"
#include "core/forward/forward_config.h"
#include "core/forward/layer_compute.h"
#include "core/forward/rotary_table.h"
#include "core/forward/tensor_source.h"

namespace quantized {

// Compares what `compute` and the processor make of a window x[rows, hidden] in both halves of the
// first layer of `source`, with the statistics. `rotation`: of that layer. Errors: kInternal,
// naming what differs and by how much; those of LoadAttention and its like and of `compute`.
absl::Status CheckCompute(const ForwardConfig& config, const TensorSource& source,
                          const RotaryTable& rotation, size_t rows, const float* x,
                          LayerCompute& compute, ThreadPool& threads);

}  // namespace quantized
