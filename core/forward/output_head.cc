#include "core/forward/output_head.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/forward/layer_steps.h"
#include "kernels/blas/blas.h"

namespace quantized {
namespace {

constexpr uint64_t kRowsAtOnce = 2048;  // of the head

}  // namespace

absl::StatusOr<OutputHead> OutputHead::Open(const ForwardConfig& config,
                                            const TensorSource& source) {
  const TensorSource::Tensor* head = FindByRole(config, source, "output");
  if (head == nullptr) head = FindByRole(config, source, "token_embd");
  if (head == nullptr || head->shape.size() != 2 || head->shape[1] != config.geometry.hidden) {
    return MakeError(
        Error::kValidationFailed,
        StrCat("output head: expected rows of ", config.geometry.hidden, " values, found ",
               head == nullptr ? "no such tensor" : "another shape"));
  }
  ASSIGN_OR_RETURN(Norm norm, LoadFinalNorm(config, source));
  return OutputHead(config, source, head, std::move(norm));
}

absl::StatusOr<Matrix> OutputHead::Logits(size_t rows, const float* hidden,
                                          ThreadPool& threads) const {
  const size_t width = config_->geometry.hidden;
  std::vector<float> normed(rows * width);
  ApplyNorm(*config_, norm_, rows, hidden, normed.data());
  Matrix logits(rows, vocabulary());
  const size_t pieces = (vocabulary() + kRowsAtOnce - 1) / kRowsAtOnce;
  std::vector<absl::Status> statuses(pieces);
  threads.ParallelFor(pieces, [&](size_t piece) {
    const uint64_t first = piece * kRowsAtOnce;
    const uint64_t count = std::min(kRowsAtOnce, vocabulary() - first);
    std::vector<float> weights(count * width);
    statuses[piece] = source_->ReadRows(*head_, first, count, weights.data());
    kernels::MatMul(rows, count, width, normed.data(), width, weights.data(), width,
                    logits.values.data() + first, vocabulary(), {.transpose_b = true});
  });
  for (const absl::Status& status : statuses) RETURN_IF_ERROR(status);
  CapSoftly(config_->final_softcap, logits.values.size(), logits.values.data());
  return logits;
}

}  // namespace quantized
