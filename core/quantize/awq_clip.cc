#include "core/quantize/awq_clip.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/quantize/gram_loss.h"
#include "core/quantize/group_range.h"
#include "core/quantize/round_to_nearest.h"
#include "core/quantize/row_tile.h"
#include "kernels/blas/blas.h"

namespace quantized {
namespace {

GridOptions GridOf(const AwqClipOptions& options) {
  return {.bits = options.bits,
          .group_size = options.group_size,
          .form = options.awq_range ? kernels::RangeForm::kSpan : kernels::RangeForm::kWithZero};
}

// One group of a tile: x [size, kTileRows] and its square of H.
class GroupClip {
 public:
  GroupClip(const float* x, size_t size, const std::vector<float>& square,
            const kernels::RangeRule& rule)
      : x_(x), size_(size), square_(square), rule_(rule), ones_(size, 1.0f) {
    for (size_t i = 0; i < size * kTileRows; ++i) {
      float& largest = largest_[i % kTileRows];
      largest = std::max(largest, std::fabs(x[i]));
    }
    for (auto* values : {&clipped_, &difference_, &product_}) values->resize(size * kTileRows);
  }

  const float* largest() const { return largest_; }

  // d·H_gg·dᵀ for each row, d = Q(x clipped at limit) - x.
  void Losses(const float* limit, float* losses) {
    for (size_t i = 0; i < clipped_.size(); ++i) {
      const float bound = limit[i % kTileRows];
      clipped_[i] = std::min(std::max(x_[i], -bound), bound);
    }
    RoundTile(clipped_.data(), size_, size_, rule_, ones_.data(), difference_.data());
    for (size_t i = 0; i < difference_.size(); ++i) difference_[i] -= x_[i];
    kernels::MatMul(size_, kTileRows, size_, square_.data(), size_, difference_.data(), kTileRows,
                    product_.data(), kTileRows);
    std::fill(losses, losses + kTileRows, 0.0f);
    for (size_t i = 0; i < product_.size(); ++i) {
      losses[i % kTileRows] += product_[i] * difference_[i];
    }
  }

 private:
  const float* x_;
  const size_t size_;
  const std::vector<float>& square_;
  const kernels::RangeRule& rule_;
  const std::vector<float> ones_;
  float largest_[kTileRows] = {};
  std::vector<float> clipped_, difference_, product_;
};

struct ClippedTile {
  std::vector<float> limits;  // [groups, kTileRows]
  double loss = 0, unclipped_loss = 0;
};

ClippedTile SearchTile(const std::vector<float>& tile,
                       const std::vector<std::vector<float>>& squares, size_t group_size,
                       const AwqClipOptions& options) {
  const kernels::RangeRule rule = RuleOf(GridOf(options));
  const int candidates = static_cast<int>(options.max_shrink * options.grid);
  ClippedTile clipped;
  for (size_t group = 0; group < squares.size(); ++group) {
    GroupClip search(tile.data() + group * group_size * kTileRows, group_size, squares[group],
                     rule);
    float best[kTileRows], least[kTileRows], limit[kTileRows], losses[kTileRows];
    std::copy(search.largest(), search.largest() + kTileRows, best);
    search.Losses(best, least);
    for (const float loss : least) clipped.unclipped_loss += static_cast<double>(loss);
    for (int i = 1; i < candidates; ++i) {
      const auto share = static_cast<float>(1.0 - static_cast<double>(i) / options.grid);
      for (size_t row = 0; row < kTileRows; ++row) limit[row] = search.largest()[row] * share;
      search.Losses(limit, losses);
      for (size_t row = 0; row < kTileRows; ++row) {
        if (!(losses[row] < least[row])) continue;
        least[row] = losses[row];
        best[row] = limit[row];
      }
    }
    for (const float loss : least) clipped.loss += static_cast<double>(loss);
    clipped.limits.insert(clipped.limits.end(), best, best + kTileRows);
  }
  return clipped;
}

absl::Status CheckOptions(const AwqClipOptions& options) {
  if (options.grid >= 1 && options.grid <= 1000 && options.max_shrink >= 0 &&
      options.max_shrink <= 1) {
    return absl::OkStatus();
  }
  return MakeError(Error::kInvalidArgument,
                   StrCat("clip search: found grid ", options.grid, ", shrink ", options.max_shrink,
                          ", expected 1 to 1000, 0 to 1"));
}

}  // namespace

absl::StatusOr<AwqClip> SearchAwqClip(const Matrix& weight, const Matrix& gram,
                                      const AwqClipOptions& options, ThreadPool& threads) {
  RETURN_IF_ERROR(CheckWeight(weight, GridOf(options)));
  RETURN_IF_ERROR(CheckGramShape(gram, weight.cols));
  RETURN_IF_ERROR(CheckGramFinite(gram));
  RETURN_IF_ERROR(CheckOptions(options));
  const size_t group_size = ResolvedGroupSize(options.group_size, weight.cols);
  std::vector<std::vector<float>> squares;
  for (size_t begin = 0; begin < weight.cols; begin += group_size) {
    squares.push_back(DiagonalSquare(gram, begin, group_size));
  }
  std::vector<ClippedTile> tiles(TileCount(weight.rows));
  threads.ParallelFor(tiles.size(), [&](size_t tile) {
    tiles[tile] = SearchTile(LoadTile(weight, tile), squares, group_size, options);
  });
  AwqClip clip;
  clip.limits = Matrix(weight.rows, squares.size());
  for (const ClippedTile& tile : tiles) {
    clip.loss += tile.loss;
    clip.unclipped_loss += tile.unclipped_loss;
  }
  for (size_t row = 0; row < weight.rows; ++row) {
    for (size_t group = 0; group < squares.size(); ++group) {
      clip.limits.at(row, group) =
          tiles[row / kTileRows].limits[group * kTileRows + row % kTileRows];
    }
  }
  return clip;
}

void ClipTo(const Matrix& limits, size_t group_size, Matrix& weight) {
  CHECK(limits.rows == weight.rows && limits.cols * group_size == weight.cols);
  for (size_t row = 0; row < weight.rows; ++row) {
    for (size_t col = 0; col < weight.cols; ++col) {
      const float limit = limits.at(row, col / group_size);
      weight.at(row, col) = std::min(std::max(weight.at(row, col), -limit), limit);
    }
  }
}

absl::StatusOr<QuantizedLinear> AwqRound(const Matrix& weight, const AwqClip& clip,
                                         const AwqClipOptions& options, ThreadPool& threads) {
  RETURN_IF_ERROR(CheckWeight(weight, GridOf(options)));
  if (clip.limits.empty()) return RoundToNearest(weight, GridOf(options), {}, threads);
  const size_t group_size = ResolvedGroupSize(options.group_size, weight.cols);
  if (clip.limits.rows != weight.rows || clip.limits.cols * group_size != weight.cols) {
    return MakeError(Error::kInvalidArgument,
                     StrCat("clip limits: found ", clip.limits.rows, " x ", clip.limits.cols,
                            ", expected ", weight.rows, " x ", weight.cols / group_size));
  }
  Matrix clipped = weight;
  ClipTo(clip.limits, group_size, clipped);
  return RoundToNearest(clipped, GridOf(options), {}, threads);
}

}  // namespace quantized
