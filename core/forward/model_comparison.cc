#include "core/forward/model_comparison.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <span>
#include <string_view>
#include <utility>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/forward/layer_weights.h"
#include "core/forward/output_head.h"
#include "kernels/divergence/divergence.h"

namespace quantized {
namespace {

// Rows of logits at once: two matrices of so many times the vocabulary.
constexpr size_t kRowsAtOnce = 128;

struct Side {
  const TensorSource& source;
  std::unique_ptr<LayerWalk> walk;
};

absl::StatusOr<Matrix> LogitsOf(const Side& side, const OutputHead& head, size_t first, size_t rows,
                                ThreadPool& threads) {
  std::vector<float> hidden(rows * side.walk->hidden().width());
  RETURN_IF_ERROR(side.walk->hidden().Read(first, rows, hidden.data()));
  return head.Logits(rows, hidden.data(), threads);
}

// A row's divergence is NaN where either has a logit that is not finite.
absl::Status NotFinite(std::span<const float> source_logits) {
  const bool of_source =
      !std::ranges::all_of(source_logits, [](float logit) { return std::isfinite(logit); });
  return MakeError(Error::kValidationFailed,
                   of_source ? "the model gives logits that are not finite"
                             : "the quantized model gives logits that are not finite");
}

// The logits of the tokens that the other model has, too, in place of all.
void KeepColumns(size_t cols, Matrix& logits) {
  if (logits.cols == cols) return;
  for (size_t row = 1; row < logits.rows; ++row) {
    std::copy_n(logits.row(row), cols, logits.values.data() + row * cols);
  }
  logits.cols = cols;
}

// `whose`: "of the embedding".
absl::Status CheckIds(std::span<const std::vector<uint32_t>> windows, uint64_t vocabulary,
                      std::string_view whose) {
  for (const std::vector<uint32_t>& window : windows) {
    const uint32_t largest = std::ranges::max(window);
    if (largest < vocabulary) continue;
    return MakeError(
        Error::kValidationFailed,
        StrCat("token id ", largest, ": expected less than the ", vocabulary, " ", whose),
        "Check that tokenizer and weights belong together");
  }
  return absl::OkStatus();
}

// Mean of values and its standard error, values taken as independent.
class Mean {
 public:
  void Add(double value) {
    // Welford's recurrence (Technometrics 4, 1962): no difference of large sums.
    ++count_;
    const double off = value - mean_;
    mean_ += off / static_cast<double>(count_);
    squares_ += off * (value - mean_);
  }
  double mean() const { return mean_; }
  double standard_error() const {
    const auto count = static_cast<double>(count_);
    return count_ < 2 ? 0 : std::sqrt(squares_ / (count * (count - 1)));
  }

 private:
  uint64_t count_ = 0;
  double mean_ = 0, squares_ = 0;
};

ModelComparison::Percentiles PercentilesOf(std::vector<double> values) {
  std::ranges::sort(values);
  const auto at = [&](double share) {  // nearest rank
    const double rank = std::ceil(share * static_cast<double>(values.size()));
    return values[static_cast<size_t>(std::max(rank, 1.0)) - 1];
  };
  return {.median = at(0.5),
          .p90 = at(0.9),
          .p99 = at(0.99),
          .p99_9 = at(0.999),
          .maximum = values.back()};
}

// The sums of CompareModels, fed token by token.
class Tally {
 public:
  void Add(const kernels::RowDivergence& row) {
    source_loss_ += row.source_loss;
    loss_ += row.loss;
    log_ratio_.Add(row.loss - row.source_loss);
    window_log_ratio_.Add(row.loss - row.source_loss);
    kl_.Add(row.kl);
    window_kl_.Add(row.kl);
    divergences_.push_back(row.kl);
    result_.kl_histogram.Add(row.kl);
    agreed_ += row.same_top ? 1 : 0;
  }
  void EndWindow() {
    result_.windows.push_back({.perplexity_ratio = std::exp(window_log_ratio_.mean()),
                               .kl_divergence = window_kl_.mean()});
    window_log_ratio_ = window_kl_ = Mean();
  }
  ModelComparison Finish() && {
    const auto tokens = static_cast<double>(divergences_.size());
    result_.tokens = divergences_.size();
    result_.source_perplexity = std::exp(source_loss_ / tokens);
    result_.perplexity = std::exp(loss_ / tokens);
    // Of e^m, m the mean log ratio: to first order e^m times the error of m.
    result_.ratio_standard_error = result_.perplexity_ratio() * log_ratio_.standard_error();
    result_.kl_divergence = kl_.mean();
    result_.kl_standard_error = kl_.standard_error();
    result_.top1_agreement = static_cast<double>(agreed_) / tokens;
    result_.kl_percentiles = PercentilesOf(std::move(divergences_));
    return std::move(result_);
  }

 private:
  ModelComparison result_;
  double source_loss_ = 0, loss_ = 0;
  Mean log_ratio_, kl_, window_log_ratio_, window_kl_;
  uint64_t agreed_ = 0;
  std::vector<double> divergences_;
};

}  // namespace

double LogHistogram::Edge(size_t bin) {
  return std::pow(10.0, kFirstExponent + static_cast<double>(bin) / kBinsPerDecade);
}

void LogHistogram::Add(double value) {
  if (value < Edge(0)) {
    ++below;
  } else if (value >= Edge(kBins)) {
    ++above;
  } else {
    size_t bin = static_cast<size_t>((std::log10(value) - kFirstExponent) * kBinsPerDecade);
    // The logarithm rounds; edges decide.
    while (bin >= kBins || value < Edge(bin)) --bin;
    while (value >= Edge(bin + 1)) ++bin;
    ++bins[bin];
  }
}

absl::Status CheckPredictable(const ForwardConfig& config, const TensorSource& source,
                              std::span<const std::vector<uint32_t>> windows) {
  if (windows[0].size() < 2) {
    return MakeError(Error::kInvalidArgument,
                     "found samples of 1 token, expected 2 at least: each but the first of a "
                     "sample is predicted",
                     "Use a longer --sequence-length");
  }
  ASSIGN_OR_RETURN(const OutputHead head, OutputHead::Open(config, source));
  RETURN_IF_ERROR(CheckIds(windows, head.vocabulary(), "rows of the output head"));
  const TensorSource::Tensor* embedding = FindByRole(config, source, "token_embd");
  if (embedding == nullptr || embedding->shape.empty()) {
    return MakeError(Error::kValidationFailed, "tensor embed_tokens.weight: found nothing");
  }
  return CheckIds(windows, embedding->shape[0], "rows of the embedding");
}

absl::StatusOr<ModelComparison> CompareModels(const ForwardConfig& config,
                                              const HfConfig& hf_config, const TensorSource& source,
                                              const TensorSource& quantized,
                                              std::span<const std::vector<uint32_t>> windows,
                                              const WalkOptions& options, JobContext& context) {
  CHECK(!windows.empty() && windows[0].size() > 1);
  ASSIGN_OR_RETURN(const OutputHead source_head, OutputHead::Open(config, source));
  ASSIGN_OR_RETURN(const OutputHead quantized_head, OutputHead::Open(config, quantized));
  const uint64_t vocabulary = std::min(source_head.vocabulary(), quantized_head.vocabulary());
  RETURN_IF_ERROR(CheckIds(windows, vocabulary, "tokens that both models have"));

  Side sides[] = {{source, nullptr}, {quantized, nullptr}};
  const uint64_t layers = config.geometry.layers;
  LayerVisitor nobody;
  uint64_t layers_done = 0;
  for (Side& side : sides) {
    ASSIGN_OR_RETURN(side.walk,
                     LayerWalk::Start(config, hf_config, side.source, windows, options, context));
    for (uint32_t layer = 0; layer < layers; ++layer) {
      RETURN_IF_ERROR(side.walk->RunLayer(layer, side.source, nobody));
      context.progress.OnProgress(++layers_done, 2 * layers, "layers", /*bytes_written=*/0);
    }
  }

  const size_t length = windows[0].size();
  Tally tally;
  for (size_t window = 0; window < windows.size(); ++window) {
    for (size_t first = 0; first + 1 < length; first += kRowsAtOnce) {
      RETURN_IF_ERROR(context.CheckStopped());
      const size_t rows = std::min(kRowsAtOnce, length - 1 - first);
      const size_t place = window * length + first;
      ASSIGN_OR_RETURN(Matrix want, LogitsOf(sides[0], source_head, place, rows, context.threads));
      ASSIGN_OR_RETURN(Matrix got,
                       LogitsOf(sides[1], quantized_head, place, rows, context.threads));
      KeepColumns(vocabulary, want);
      KeepColumns(vocabulary, got);
      const uint32_t* targets = windows[window].data() + first + 1;
      std::vector<kernels::RowDivergence> divergences(rows);
      context.threads.ParallelFor(rows, [&](size_t row) {
        kernels::CompareLogitsSimd(1, vocabulary, want.row(row), got.row(row), targets + row,
                                   &divergences[row]);
      });
      for (size_t i = 0; i < rows; ++i) {
        if (!std::isfinite(divergences[i].kl)) return NotFinite({want.row(i), vocabulary});
        tally.Add(divergences[i]);
      }
    }
    tally.EndWindow();
  }
  return std::move(tally).Finish();
}

}  // namespace quantized
