#include "core/pipeline/weight_check.h"

#include <algorithm>
#include <cstdint>
#include <vector>

#include "core/base/status_macros.h"
#include "core/pipeline/for_each.h"

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
  return ForEach(pieces.size(), context.threads, [&](size_t i) -> absl::Status {
    const Piece& piece = pieces[i];
    RETURN_IF_ERROR(context.CheckStopped());
    const uint64_t cols = piece.tensor->shape.empty() ? 1 : piece.tensor->shape.back();
    std::vector<float> values(piece.count * cols);
    return half.ReadRows(*piece.tensor, piece.first, piece.count, values.data());
  });
}

}  // namespace quantized
