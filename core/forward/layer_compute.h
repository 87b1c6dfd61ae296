// Where the halves of a layer run, attention and each expert of the feed-forward part: on the
// processor (below), or on a CUDA device (cuda_layer_compute.h). Of a piece of tokens, x:
//
//   input = norm(x)                                     [rows, hidden]
//   inner = attention(q, k, v of input)                 [rows, query_size], or
//           act(gate of input) ∘ (up of input)          [rows, width]
//   y     = norm(projection(inner))                     [rows, hidden]
//
// Slots hold a piece each, so that several are on their way at once: steps of different slots may
// run at the same time, everything else comes from one thread while no step runs. What a step needs
// is set before it and holds until it is set again; weights are taken as they are when they are set
// and must outlive the steps. Errors of all calls: kInternal where a device failed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/base/thread_pool.h"
#include "core/forward/forward_config.h"
#include "core/forward/input_statistics.h"
#include "core/forward/layer_weights.h"
#include "core/forward/rotary_table.h"

namespace quantized {

class LayerCompute {
 public:
  virtual ~LayerCompute() = default;

  virtual size_t slots() const = 0;
  // The largest statistics that it has room for.
  virtual StatisticsKind most() const = 0;

  // ---- What steps need.

  virtual absl::Status SetInput(const Norm& norm) = 0;
  // Pieces are whole windows from now on, whose positions `rotation` has.
  virtual absl::Status SetAttention(const AttentionWeights& weights, uint32_t layer,
                                    const RotaryTable& rotation) = 0;
  virtual absl::Status SetExpert(const ExpertWeights& weights) = 0;
  // An empty `norm` is none.
  virtual absl::Status SetOutput(const Linear& projection, const Norm& norm) = 0;

  // ---- Steps of one slot; x, y and inner are the host's.

  virtual absl::Status MakeInput(size_t slot, size_t rows, const float* x) = 0;
  virtual absl::Status MakeInner(size_t slot) = 0;  // from its input
  virtual absl::Status ReadInner(size_t slot, float* inner) = 0;
  virtual absl::Status WriteInner(size_t slot, size_t rows, const float* inner) = 0;
  virtual absl::Status MakeOutput(size_t slot, float* y) = 0;  // from its inner

  // ---- Sums over the tokens that pass; kNone: of that place there are none.

  // Begins anew, of inputs and inners as they are set.
  virtual absl::Status StartSums(StatisticsKind input, StatisticsKind inner) = 0;
  // Adds what the first `used` slots hold, in their order.
  virtual absl::Status AddToSums(size_t used) = 0;
  virtual absl::StatusOr<InputStatistics> FinishInput() = 0;
  virtual absl::StatusOr<InputStatistics> FinishInner() = 0;
};

// Pieces that the processor has on their way at once, with so many threads.
size_t ProcessorSlots(size_t threads);

// OpenBLAS and the kernels' Highway forms, each step on the thread that asks for it; `threads` are
// for the sums. The arguments must outlive the result.
std::unique_ptr<LayerCompute> MakeProcessorCompute(const ForwardConfig& config,
                                                   ThreadPool& threads);

}  // namespace quantized
