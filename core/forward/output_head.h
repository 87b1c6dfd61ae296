// Logits: the last norm and the output head (or the embedding, where the two are tied).
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/base/thread_pool.h"
#include "core/forward/forward_config.h"
#include "core/forward/layer_weights.h"
#include "core/forward/tensor_source.h"
#include "core/tensor/matrix.h"

namespace quantized {

class OutputHead {
 public:
  // `source` and `config` must outlive the result. Errors: kValidationFailed where norm or head is
  // missing or has another shape than the configuration gives it.
  static absl::StatusOr<OutputHead> Open(const ForwardConfig& config, const TensorSource& source);

  uint64_t vocabulary() const { return head_->shape[0]; }

  // Logits [rows, vocabulary] of hidden[rows, hidden] as it leaves the last layer. The head is read
  // anew, a bounded piece at a time. Errors: those of TensorSource::ReadRows.
  absl::StatusOr<Matrix> Logits(size_t rows, const float* hidden, ThreadPool& threads) const;

 private:
  OutputHead(const ForwardConfig& config, const TensorSource& source,
             const TensorSource::Tensor* head, Norm norm)
      : config_(&config), source_(&source), head_(head), norm_(std::move(norm)) {}

  const ForwardConfig* config_;
  const TensorSource* source_;
  const TensorSource::Tensor* head_;
  Norm norm_;
};

}  // namespace quantized
