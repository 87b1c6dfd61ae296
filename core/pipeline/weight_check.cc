#include "core/pipeline/weight_check.h"

#include <algorithm>
#include <cstdint>
#include <vector>

#include "core/base/status_macros.h"

namespace quantized {
namespace {

constexpr uint64_t kValuesAtOnce = 1 << 20;  // per thread

struct Piece {
  const TensorSource::Tensor* tensor;
  uint64_t first, count;  // rows
};

}  // namespace

absl::Status CheckHalves(const HalfTensorSource& half,
                         std::span<const TensorSource::Tensor* const> tensors,
                         JobContext& context) {
  std::vector<Piece> pieces;
  for (const TensorSource::Tensor* tensor : tensors) {
    uint64_t rows = 1;
    for (size_t i = 0; i + 1 < tensor->shape.size(); ++i) rows *= tensor->shape[i];
    const uint64_t cols = tensor->shape.empty() ? 1 : tensor->shape.back();
    const uint64_t at_once = std::max<uint64_t>(1, kValuesAtOnce / std::max<uint64_t>(1, cols));
    for (uint64_t first = 0; first < rows; first += at_once) {
      pieces.push_back({tensor, first, std::min(at_once, rows - first)});
    }
  }
  std::vector<absl::Status> statuses(pieces.size());
  context.threads.ParallelFor(pieces.size(), [&](size_t i) {
    const Piece& piece = pieces[i];
    statuses[i] = context.CheckStopped();
    if (!statuses[i].ok()) return;
    const uint64_t cols = piece.tensor->shape.empty() ? 1 : piece.tensor->shape.back();
    std::vector<float> values(piece.count * cols);
    statuses[i] = half.ReadRows(*piece.tensor, piece.first, piece.count, values.data());
  });
  for (const absl::Status& status : statuses) RETURN_IF_ERROR(status);
  return absl::OkStatus();
}

}  // namespace quantized
