#include "core/quantize/awq_scale.h"

#include <algorithm>
#include <cmath>
#include <utility>

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

absl::Status CheckArguments(const Matrix& gram, std::span<const float> mean_magnitude,
                            const AwqScaleOptions& options) {
  const size_t cols = gram.cols;
  RETURN_IF_ERROR(CheckGramShape(gram, cols));
  RETURN_IF_ERROR(CheckGramFinite(gram));
  RETURN_IF_ERROR(CheckGrid(GridOf(options), cols));
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
                             const AwqScaleOptions& options) {
  std::vector<float> scales(x.size());
  for (size_t col = 0; col < x.size(); ++col) {
    const double weight_part = options.duo_scaling ? std::pow(w[col], 1 - r) + 1e-4 : 1;
    scales[col] = static_cast<float>(std::max(std::pow(x[col], r) / weight_part, 1e-4));
  }
  const auto [smallest, largest] = std::minmax_element(scales.begin(), scales.end());
  const float middle = std::sqrt(*largest * *smallest);
  for (float& scale : scales) {
    scale /= middle;
    if (!std::isfinite(scale) || scale <= 0) scale = 1;
    if (options.powers_of_two) scale = std::exp2(std::round(std::log2(scale)));
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

}  // namespace

absl::StatusOr<AwqScaleSearch> AwqScaleSearch::Start(const Matrix& gram,
                                                     std::span<const float> mean_magnitude,
                                                     const AwqScaleOptions& options,
                                                     ThreadPool& threads) {
  RETURN_IF_ERROR(CheckArguments(gram, mean_magnitude, options));
  return AwqScaleSearch(gram, mean_magnitude, options, threads);
}

AwqScaleSearch::AwqScaleSearch(const Matrix& gram, std::span<const float> mean_magnitude,
                               AwqScaleOptions options, ThreadPool& threads)
    : gram_(&gram),
      options_(std::move(options)),
      threads_(&threads),
      inputs_(mean_magnitude.begin(), mean_magnitude.end()),
      weights_(gram.cols) {}

absl::Status AwqScaleSearch::AddMagnitudes(const Matrix& weight) {
  CHECK(candidates_.empty());
  if (weight.cols != gram_->cols) {
    return MakeError(Error::kInvalidArgument,
                     StrCat("weight: found ", weight.cols, " columns, expected ", gram_->cols));
  }
  RETURN_IF_ERROR(CheckWeight(weight, GridOf(options_)));
  const size_t group_size = ResolvedGroupSize(options_.group_size, weight.cols);
  for (size_t row = 0; row < weight.rows; ++row) {
    const float* values = weight.row(row);
    for (size_t begin = 0; begin < weight.cols; begin += group_size) {
      float largest = 0;
      for (size_t i = 0; i < group_size; ++i) {
        largest = std::max(largest, std::fabs(values[begin + i]));
      }
      for (size_t i = 0; i < group_size; ++i) {
        weights_[begin + i] +=
            static_cast<double>(std::fabs(values[begin + i]) / (largest + 1e-6f));
      }
    }
  }
  rows_ += weight.rows;
  tiles_ += TileCount(weight.rows);
  return absl::OkStatus();
}

void AwqScaleSearch::MakeCandidates() {
  for (double& weight : weights_) weight /= static_cast<double>(rows_);
  ShareMeans(options_.same_scale, inputs_);
  ShareMeans(options_.same_scale, weights_);
  for (int i = 0; i < options_.grid; ++i) {
    candidates_.push_back(
        Candidate(inputs_, weights_, static_cast<double>(i) / options_.grid, options_));
  }
  if (options_.try_identity) candidates_.emplace_back(gram_->cols, 1.0f);
  losses_.resize(candidates_.size());
}

// Each candidate's losses are summed over the tiles in order.
void AwqScaleSearch::AddLosses(const Matrix& weight) {
  CHECK(rows_ > 0 && weight.cols == gram_->cols);
  if (candidates_.empty()) MakeCandidates();
  const size_t group_size = ResolvedGroupSize(options_.group_size, weight.cols);
  const kernels::RangeRule rule = RuleOf(GridOf(options_));
  const size_t wanted = options_.search_rows == 0 ? tiles_ : TileCount(options_.search_rows);
  const size_t step = (tiles_ + wanted - 1) / wanted;
  std::vector<size_t> taken;
  for (size_t tile = 0; tile < TileCount(weight.rows); ++tile) {
    if (tiles_shown_++ % step == 0) taken.push_back(tile);
  }
  std::vector<std::vector<double>> losses(taken.size());
  threads_->ParallelFor(taken.size(), [&](size_t index) {
    const std::vector<float> tile = LoadTile(weight, taken[index]);
    for (const std::vector<float>& scales : candidates_) {
      losses[index].push_back(ScaledLoss(tile, scales, *gram_, group_size, rule));
    }
  });
  for (const std::vector<double>& tile : losses) {
    for (size_t i = 0; i < losses_.size(); ++i) losses_[i] += tile[i];
  }
}

AwqScaleResult AwqScaleSearch::Finish() && {
  CHECK(!candidates_.empty());
  AwqScaleResult result;
  result.losses = std::move(losses_);
  const auto least = std::min_element(result.losses.begin(), result.losses.end());
  const auto index = least - result.losses.begin();
  result.scales = std::move(candidates_[static_cast<size_t>(index)]);
  result.loss = *least;
  if (index < options_.grid) result.exponent = static_cast<double>(index) / options_.grid;
  if (options_.try_identity) {
    result.identity_loss = result.losses.back();
    result.losses.pop_back();
  }
  return result;
}

absl::StatusOr<AwqScaleResult> SearchAwqScale(std::span<const Matrix* const> linears,
                                              const Matrix& gram,
                                              std::span<const float> mean_magnitude,
                                              const AwqScaleOptions& options, ThreadPool& threads) {
  if (linears.empty()) return MakeError(Error::kInvalidArgument, "linears: found none");
  ASSIGN_OR_RETURN(AwqScaleSearch search,
                   AwqScaleSearch::Start(gram, mean_magnitude, options, threads));
  for (const Matrix* linear : linears) RETURN_IF_ERROR(search.AddMagnitudes(*linear));
  for (const Matrix* linear : linears) search.AddLosses(*linear);
  return std::move(search).Finish();
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
