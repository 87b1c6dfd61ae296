#include "core/quantize/gptq.h"

#include <algorithm>

#include "absl/strings/str_format.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/quantize/gram_loss.h"
#include "core/quantize/round_to_nearest.h"
#include "core/quantize/row_tile.h"
#include "kernels/blas/blas.h"
#include "kernels/gptq_block/gptq_block.h"

namespace quantized {
namespace {

GridOptions GridOf(const GptqOptions& options) {
  const kernels::RangeForm asymmetric =
      options.awq_range ? kernels::RangeForm::kSpan : kernels::RangeForm::kWithZero;
  return {.bits = options.bits,
          .group_size = options.group_size,
          .form = options.symmetric ? kernels::RangeForm::kSymmetric : asymmetric,
          .avoid_zero_point_zero = options.avoid_zero_point_zero,
          .search = options.search,
          .search_exponent = options.search_exponent,
          .search_steps = options.search_steps,
          .search_shrink = options.search_shrink};
}

// What is summed over a tile.
struct Sums {
  double loss = 0;     // tr(D·(H + added)·Dᵀ)
  double damping = 0;  // the part of it that `added` makes
  double energy = 0;   // tr(W·H·Wᵀ)

  Sums& operator+=(const Sums& other) {
    loss += other.loss;
    damping += other.damping;
    energy += other.energy;
    return *this;
  }
};

class Quantizer {
 public:
  Quantizer(const Matrix& gram, const GptqFactor& factor, const GptqOptions& options)
      : gram_(gram),
        factor_(factor),
        options_(options),
        rule_(RuleOf(GridOf(options))),
        cols_(gram.cols),
        group_size_(ResolvedGroupSize(options.group_size, gram.cols)),
        groups_(cols_ / group_size_) {
    group_of_.resize(cols_);
    weights_by_position_.resize(cols_);
    for (size_t position = 0; position < cols_; ++position) {
      const uint32_t col = factor.order[position];
      const size_t group = options.order == ColumnOrder::kActivation ? position : col;
      group_of_[col] = static_cast<uint32_t>(group / group_size_);
      weights_by_position_[position] = factor.range_weights[col];
    }
  }

  const std::vector<uint32_t>& group_of() const { return group_of_; }

  QuantizedTile Run(const std::vector<float>& original, Sums& sums) const {
    QuantizedTile quantized(cols_, groups_);
    const bool fixed_grids = options_.order == ColumnOrder::kStaticActivation;
    if (fixed_grids) {
      for (size_t group = 0; group < groups_; ++group) {
        const size_t first = group * group_size_;
        ChooseGrid(original.data() + first * kTileRows, factor_.range_weights.data() + first, group,
                   quantized);
      }
    }
    // In the order of columns; behind the current column what the codes stand for, before it the
    // weight with all errors so far spread over it.
    std::vector<float> values = Reordered(original, factor_.order);
    std::vector<float> errors(kBlockColumns * kTileRows);
    for (size_t begin = 0; begin < cols_;) {
      const size_t end = BlockEnd(begin);
      for (size_t position = begin; position < end; ++position) {
        const size_t col = factor_.order[position];
        const size_t group = group_of_[col];
        if (!fixed_grids && position % group_size_ == 0) {
          ChooseGrid(values.data() + position * kTileRows, weights_by_position_.data() + position,
                     group, quantized);
        }
        const kernels::ColumnGrid grid = {quantized.scales.data() + group * kTileRows,
                                          quantized.zeros.data() + group * kTileRows,
                                          options_.bits};
        kernels::GptqColumnSimd(values.data() + position * kTileRows, end - 1 - position, kTileRows,
                                factor_.upper.row(position) + position, grid,
                                quantized.codes.data() + col * kTileRows,
                                errors.data() + (position - begin) * kTileRows);
      }
      for (size_t i = 0; i < (end - begin) * kTileRows; ++i) {
        sums.loss += static_cast<double>(errors[i]) * static_cast<double>(errors[i]);
      }
      if (end < cols_) {  // W[:, later] -= E · U[block, later], transposed
        kernels::MatMul(cols_ - end, kTileRows, end - begin, factor_.upper.row(begin) + end, cols_,
                        errors.data(), kTileRows, values.data() + end * kTileRows, kTileRows,
                        {.transpose_a = true, .alpha = -1, .beta = 1});
      }
      begin = end;
    }
    Finish(original, values, quantized, sums);
    return quantized;
  }

 private:
  void ChooseGrid(const float* values, const float* weights, size_t group,
                  QuantizedTile& quantized) const {
    kernels::ChooseRangeSimd(values, group_size_, kTileRows, weights, rule_,
                             quantized.scales.data() + group * kTileRows,
                             quantized.zeros.data() + group * kTileRows);
  }

  // A grid is chosen from values to which all errors so far were spread: groups begin where blocks
  // do, or lie inside one.
  size_t BlockEnd(size_t begin) const {
    const size_t largest =
        group_size_ <= kBlockColumns ? kBlockColumns / group_size_ * group_size_ : kBlockColumns;
    size_t end = std::min(begin + largest, cols_);
    if (group_size_ > kBlockColumns) {
      end = std::min(end, (begin / group_size_ + 1) * group_size_);
    }
    return end;
  }

  void Finish(const std::vector<float>& original, const std::vector<float>& values,
              QuantizedTile& quantized, Sums& sums) const {
    std::vector<float> decoded(values.size());
    for (size_t position = 0; position < cols_; ++position) {
      const float* from = values.data() + position * kTileRows;
      std::copy(from, from + kTileRows, decoded.data() + factor_.order[position] * kTileRows);
    }
    if (options_.refine.passes > 0) {
      sums.loss = RefineTile(original,
                             {.gram = gram_,
                              .added = factor_.added,
                              .dead = factor_.dead,
                              .group_of = group_of_,
                              .group_size = group_size_,
                              .natural_groups = options_.order != ColumnOrder::kActivation,
                              .bits = options_.bits},
                             options_.refine, decoded, quantized);
    }
    for (size_t col = 0; col < cols_; ++col) {
      double squares = 0;
      for (size_t i = col * kTileRows; i < (col + 1) * kTileRows; ++i) {
        const double difference =
            static_cast<double>(decoded[i]) - static_cast<double>(original[i]);
        squares += difference * difference;
      }
      sums.damping += squares * static_cast<double>(factor_.added[col]);
    }
    sums.energy = TileLoss(original, gram_);
  }

  const Matrix& gram_;
  const GptqFactor& factor_;
  const GptqOptions& options_;
  const kernels::RangeRule rule_;
  const size_t cols_, group_size_, groups_;
  std::vector<uint32_t> group_of_;  // by column
  std::vector<float> weights_by_position_;
};

// tr(D·H·Dᵀ), or that of the unit matrix where H is not finite.
double LossOf(const Matrix& rows, const Matrix& gram, bool finite, ThreadPool& threads) {
  if (finite) return GramLoss(rows, gram, threads);
  double sum = 0;
  for (const float value : rows.values)
    sum += static_cast<double>(value) * static_cast<double>(value);
  return sum;
}

double Ratio(double part, double whole) { return whole > 0 ? std::max(part, 0.0) / whole : 0; }

absl::StatusOr<GptqResult> Rounded(const Matrix& weight, const Matrix& gram,
                                   const GptqFactor& factor, const GptqOptions& options,
                                   ThreadPool& threads) {
  GptqResult result;
  ASSIGN_OR_RETURN(result.linear,
                   RoundToNearest(weight, GridOf(options), factor.range_weights, threads));
  const bool finite = CheckGramFinite(gram).ok();
  const double loss = LossOf(Difference(result.linear, weight), gram, finite, threads);
  result.loss = loss / 2;
  result.relative_error = Ratio(loss, LossOf(weight, gram, finite, threads));
  result.notes = factor.notes;
  result.notes.emplace_back("rounded to nearest, without the gram matrix");
  result.fell_back_to_rounding = true;
  return result;
}

}  // namespace

std::string Describe(const GptqOptions& options) {
  // Bound by name, so that a new option does not compile before it is here.
  const auto& [bits, group_size, symmetric, order, damping, search, search_exponent, search_steps,
               search_shrink, avoid_zero_point_zero, awq_range, refine] = options;
  const auto& [passes, refit_scales] = refine;
  return absl::StrFormat(
      "gptq bits=%d group=%d symmetric=%d order=%d damping=%.17g search=%d exponent=%.17g steps=%d "
      "shrink=%.17g avoid_zero=%d awq_range=%d passes=%d refit=%d",
      bits, group_size, symmetric, static_cast<int>(order), damping, static_cast<int>(search),
      search_exponent, search_steps, search_shrink, avoid_zero_point_zero, awq_range, passes,
      refit_scales);
}

GptqFactorOptions FactorOptions(const GptqOptions& options) {
  return {.group_size = options.group_size,
          .order = options.order,
          .damping = options.damping,
          .search = options.search};
}

// A tile as it was, as it is worked on, decoded, and for the refinement how it changed and the
// gradient; codes, scales and zero points; and squares of the Gram matrix for two blocks.
uint64_t GptqTileMemoryBytes(uint64_t cols) {
  constexpr uint64_t kFloatTiles = 5;
  constexpr uint64_t kBlockFloats = 2 * kBlockColumns * (kBlockColumns + 2 * kTileRows);
  // Groups are of 32 columns at least, with a scale and a zero point.
  constexpr uint64_t kOfEachValue = kFloatTiles * sizeof(float) + 1 + 2 * sizeof(float) / 4;
  return cols * kTileRows * kOfEachValue + kBlockFloats * sizeof(float);
}

absl::StatusOr<GptqResult> Gptq(const Matrix& weight, const Matrix& gram,
                                const GptqOptions& options, ThreadPool& threads) {
  RETURN_IF_ERROR(CheckWeight(weight, GridOf(options)));
  RETURN_IF_ERROR(CheckGramShape(gram, weight.cols));
  ASSIGN_OR_RETURN(const GptqFactor factor, MakeGptqFactor(gram, FactorOptions(options)));
  return Gptq(weight, gram, factor, options, threads);
}

absl::StatusOr<GptqResult> Gptq(const Matrix& weight, const Matrix& gram, const GptqFactor& factor,
                                const GptqOptions& options, ThreadPool& threads) {
  RETURN_IF_ERROR(CheckWeight(weight, GridOf(options)));
  RETURN_IF_ERROR(CheckGramShape(gram, weight.cols));
  if (factor.order.size() != weight.cols) {
    return MakeError(Error::kInvalidArgument, StrCat("factor: found ", factor.order.size(),
                                                     " columns, expected ", weight.cols));
  }
  if (factor.upper.empty()) return Rounded(weight, gram, factor, options, threads);

  const Quantizer quantizer(gram, factor, options);
  GptqResult result;
  result.linear = EmptyLinear(weight.rows, weight.cols,
                              ResolvedGroupSize(options.group_size, weight.cols), options.bits);
  if (options.order == ColumnOrder::kActivation) result.linear.group_of = quantizer.group_of();
  std::vector<Sums> tiles(TileCount(weight.rows));
  threads.ParallelFor(tiles.size(), [&](size_t tile) {
    StoreTile(quantizer.Run(LoadTile(weight, tile), tiles[tile]), tile, result.linear);
  });
  Sums sums;
  for (const Sums& tile : tiles) sums += tile;
  result.loss = sums.loss / 2;
  result.relative_error = Ratio(sums.loss - sums.damping, sums.energy);
  result.damping_used = factor.damping_used;
  result.notes = factor.notes;
  return result;
}

}  // namespace quantized
