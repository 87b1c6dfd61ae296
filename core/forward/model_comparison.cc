#include "core/forward/model_comparison.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <span>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
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

}  // namespace

absl::StatusOr<ModelComparison> CompareModels(const ForwardConfig& config,
                                              const HfConfig& hf_config, const TensorSource& source,
                                              const TensorSource& quantized,
                                              std::span<const std::vector<uint32_t>> windows,
                                              const WalkOptions& options, JobContext& context) {
  CHECK(!windows.empty() && windows[0].size() > 1);
  Side sides[] = {{source, nullptr}, {quantized, nullptr}};
  LayerVisitor nobody;
  for (Side& side : sides) {
    ASSIGN_OR_RETURN(side.walk,
                     LayerWalk::Start(config, hf_config, side.source, windows, options, context));
    for (uint32_t layer = 0; layer < config.geometry.layers; ++layer) {
      RETURN_IF_ERROR(side.walk->RunLayer(layer, side.source, nobody));
    }
  }
  ASSIGN_OR_RETURN(const OutputHead source_head, OutputHead::Open(config, source));
  ASSIGN_OR_RETURN(const OutputHead quantized_head, OutputHead::Open(config, quantized));

  const size_t length = windows[0].size();
  ModelComparison result;
  double source_loss = 0, loss = 0, kl = 0;
  uint64_t agreed = 0;
  for (size_t window = 0; window < windows.size(); ++window) {
    for (size_t first = 0; first + 1 < length; first += kRowsAtOnce) {
      RETURN_IF_ERROR(context.CheckStopped());
      const size_t rows = std::min(kRowsAtOnce, length - 1 - first);
      const size_t place = window * length + first;
      ASSIGN_OR_RETURN(const Matrix want,
                       LogitsOf(sides[0], source_head, place, rows, context.threads));
      ASSIGN_OR_RETURN(const Matrix got,
                       LogitsOf(sides[1], quantized_head, place, rows, context.threads));
      const uint32_t* targets = windows[window].data() + first + 1;
      std::vector<kernels::RowDivergence> divergences(rows);
      context.threads.ParallelFor(rows, [&](size_t row) {
        kernels::CompareLogitsSimd(1, want.cols, want.row(row), got.row(row), targets + row,
                                   &divergences[row]);
      });
      for (size_t i = 0; i < rows; ++i) {
        const kernels::RowDivergence& row = divergences[i];
        if (!std::isfinite(row.kl)) return NotFinite({want.row(i), want.cols});
        source_loss += row.source_loss;
        loss += row.loss;
        kl += row.kl;
        agreed += row.same_top ? 1 : 0;
      }
      result.tokens += rows;
    }
  }
  const auto tokens = static_cast<double>(result.tokens);
  result.source_perplexity = std::exp(source_loss / tokens);
  result.perplexity = std::exp(loss / tokens);
  result.kl_divergence = kl / tokens;
  result.top1_agreement = static_cast<double>(agreed) / tokens;
  return result;
}

}  // namespace quantized
