#include "core/quantize/awq_scale.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/quantize/gram_loss.h"
#include "core/quantize/group_range.h"
#include "core/quantize/round_to_nearest.h"
#include "core/quantize/row_tile.h"

namespace quantized {
namespace {

GridOptions GridOf(const AwqScaleOptions& options) {
  return {.bits = options.bits,
          .group_size = options.group_size,
          .form = options.awq_range ? kernels::RangeForm::kSpan : kernels::RangeForm::kWithZero};
}

absl::Status CheckArguments(std::span<const Matrix* const> linears, const Matrix& gram,
                            std::span<const float> mean_magnitude, const AwqScaleOptions& options) {
  const size_t cols = gram.cols;
  RETURN_IF_ERROR(CheckGramShape(gram, cols));
  RETURN_IF_ERROR(CheckGramFinite(gram));
  if (linears.empty()) return MakeError(Error::kInvalidArgument, "linears: found none");
  for (const Matrix* linear : linears) {
    if (linear->cols != cols) {
      return MakeError(Error::kInvalidArgument,
                       StrCat("weight: found ", linear->cols, " columns, expected ", cols));
    }
    RETURN_IF_ERROR(CheckWeight(*linear, GridOf(options)));
  }
  if (mean_magnitude.size() != cols ||
      (!options.same_scale.empty() && options.same_scale.size() != cols)) {
    return MakeError(Error::kInvalidArgument,
                     StrCat("columns: found ", mean_magnitude.size(), " mean magnitudes and ",
                            options.same_scale.size(), " numbers of same scale, expected ", cols));
  }
  for (size_t col = 0; col < cols; ++col) {
    if (std::isfinite(mean_magnitude[col]) && mean_magnitude[col] >= 0) continue;
    return MakeError(Error::kValidationFailed,
                     StrCat("mean magnitude of column ", col, ": found ", mean_magnitude[col],
                            ", expected a finite number from 0 on"));
  }
  if (options.grid < 1 || options.grid > 1000) {
    return MakeError(Error::kInvalidArgument,
                     StrCat("grid: found ", options.grid, ", expected 1 to 1000"));
  }
  return absl::OkStatus();
}

// By column: the mean over all rows of |w| / (the largest |w| of its row's group).
std::vector<double> MeanRelativeMagnitudes(std::span<const Matrix* const> linears,
                                           size_t group_size) {
  std::vector<double> sums(linears[0]->cols);
  size_t rows = 0;
  for (const Matrix* linear : linears) {
    rows += linear->rows;
    for (size_t row = 0; row < linear->rows; ++row) {
      const float* values = linear->row(row);
      for (size_t begin = 0; begin < linear->cols; begin += group_size) {
        float largest = 0;
        for (size_t i = 0; i < group_size; ++i) {
          largest = std::max(largest, std::fabs(values[begin + i]));
        }
        for (size_t i = 0; i < group_size; ++i) {
          sums[begin + i] += static_cast<double>(std::fabs(values[begin + i]) / (largest + 1e-6f));
        }
      }
    }
  }
  for (double& sum : sums) sum /= static_cast<double>(rows);
  return sums;
}

// Each column's becomes the mean over those of its number.
void ShareMeans(const std::vector<uint32_t>& same_scale, std::vector<double>& values) {
  if (same_scale.empty()) return;
  const size_t sets = *std::max_element(same_scale.begin(), same_scale.end()) + size_t{1};
  std::vector<double> sums(sets), counts(sets);
  for (size_t col = 0; col < values.size(); ++col) {
    sums[same_scale[col]] += values[col];
    ++counts[same_scale[col]];
  }
  for (size_t col = 0; col < values.size(); ++col) {
    values[col] = sums[same_scale[col]] / counts[same_scale[col]];
  }
}

// s = x^r / (w^(1-r) + 1e-4), x the inputs' mean magnitudes and w the weights'; then over the root
// of largest times smallest.
std::vector<float> Candidate(const std::vector<double>& x, const std::vector<double>& w, double r,
                             bool duo_scaling) {
  std::vector<float> scales(x.size());
  for (size_t col = 0; col < x.size(); ++col) {
    const double weight_part = duo_scaling ? std::pow(w[col], 1 - r) + 1e-4 : 1;
    scales[col] = static_cast<float>(std::max(std::pow(x[col], r) / weight_part, 1e-4));
  }
  const auto [smallest, largest] = std::minmax_element(scales.begin(), scales.end());
  const float middle = std::sqrt(*largest * *smallest);
  for (float& scale : scales) {
    scale /= middle;
    if (!std::isfinite(scale) || scale <= 0) scale = 1;
  }
  return scales;
}

// tr(D·H·Dᵀ) with D = Q(W·s) / s - W for a tile of W.
double ScaledLoss(const std::vector<float>& tile, const std::vector<float>& scales,
                  const Matrix& gram, size_t group_size, const kernels::RangeRule& rule) {
  const std::vector<float> ones(scales.size(), 1.0f);
  std::vector<float> scaled(tile.size()), difference(tile.size());
  for (size_t i = 0; i < tile.size(); ++i) scaled[i] = tile[i] * scales[i / kTileRows];
  RoundTile(scaled.data(), scales.size(), group_size, rule, ones.data(), difference.data());
  for (size_t i = 0; i < tile.size(); ++i) {
    difference[i] = difference[i] / scales[i / kTileRows] - tile[i];
  }
  return TileLoss(difference, gram);
}

// Losses of the candidates, each summed over all tiles of all linears in order.
std::vector<double> Losses(std::span<const Matrix* const> linears, const Matrix& gram,
                           const std::vector<std::vector<float>>& candidates,
                           const GridOptions& grid, ThreadPool& threads) {
  const size_t group_size = ResolvedGroupSize(grid.group_size, gram.cols);
  const kernels::RangeRule rule = RuleOf(grid);
  std::vector<double> losses(candidates.size());
  for (const Matrix* linear : linears) {
    std::vector<std::vector<double>> tiles(TileCount(linear->rows));
    threads.ParallelFor(tiles.size(), [&](size_t index) {
      const std::vector<float> tile = LoadTile(*linear, index);
      for (const std::vector<float>& scales : candidates) {
        tiles[index].push_back(ScaledLoss(tile, scales, gram, group_size, rule));
      }
    });
    for (const std::vector<double>& tile : tiles) {
      for (size_t i = 0; i < losses.size(); ++i) losses[i] += tile[i];
    }
  }
  return losses;
}

}  // namespace

absl::StatusOr<AwqScaleResult> SearchAwqScale(std::span<const Matrix* const> linears,
                                              const Matrix& gram,
                                              std::span<const float> mean_magnitude,
                                              const AwqScaleOptions& options, ThreadPool& threads) {
  RETURN_IF_ERROR(CheckArguments(linears, gram, mean_magnitude, options));
  std::vector<double> x(mean_magnitude.begin(), mean_magnitude.end());
  std::vector<double> w =
      MeanRelativeMagnitudes(linears, ResolvedGroupSize(options.group_size, gram.cols));
  ShareMeans(options.same_scale, x);
  ShareMeans(options.same_scale, w);
  std::vector<std::vector<float>> candidates;
  for (int i = 0; i < options.grid; ++i) {
    candidates.push_back(
        Candidate(x, w, static_cast<double>(i) / options.grid, options.duo_scaling));
  }
  if (options.try_identity) candidates.emplace_back(gram.cols, 1.0f);
  AwqScaleResult result;
  result.losses = Losses(linears, gram, candidates, GridOf(options), threads);

  const auto least = std::min_element(result.losses.begin(), result.losses.end());
  const auto index = least - result.losses.begin();
  result.scales = std::move(candidates[static_cast<size_t>(index)]);
  result.loss = *least;
  if (index < options.grid) result.exponent = static_cast<double>(index) / options.grid;
  if (options.try_identity) {
    result.identity_loss = result.losses.back();
    result.losses.pop_back();
  }
  return result;
}

Matrix ScaleColumns(const Matrix& weight, std::span<const float> scales) {
  CHECK(scales.size() == weight.cols);
  Matrix scaled = weight;
  for (size_t i = 0; i < scaled.values.size(); ++i) scaled.values[i] *= scales[i % weight.cols];
  return scaled;
}

Matrix ScaleGram(const Matrix& gram, std::span<const float> scales) {
  CHECK(scales.size() == gram.cols);
  Matrix scaled(gram.rows, gram.cols);
  for (size_t i = 0; i < gram.rows; ++i) {
    for (size_t j = i; j < gram.cols; ++j) scaled.at(i, j) = gram.at(i, j) / scales[i] / scales[j];
  }
  return scaled;
}

}  // namespace quantized
