// AWQ's search for channel scales (Lin et al., arXiv 2306.00978): the inputs of some linears are
// divided by s, their weights' columns multiplied by it, so that columns which matter are rounded
// more finely. Which s is best is measured on the output, in the gram matrix. docs/design/awq.md.
//
// The number of threads does not show in a result; the last bits depend on the processor.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/base/thread_pool.h"
#include "core/tensor/matrix.h"

namespace quantized {

struct AwqScaleOptions {
  int bits = 4;
  size_t group_size = 128;   // divides the columns; 0: a row is one group
  int grid = 20;             // candidates: exponents 0, 1/grid … (grid - 1) / grid
  bool duo_scaling = true;   // by the weights' magnitudes, too
  bool try_identity = true;  // s = 1 is a candidate
  bool awq_range = false;    // AWQ's range, which need not contain 0
  // [in] or empty: columns of the same number get the same scale (the columns of an output
  // projection that belong to query heads of one key-value head).
  std::vector<uint32_t> same_scale;
  // Scales are powers of two: what is multiplied by one keeps its digits.
  bool powers_of_two = false;
  // Rows whose losses decide, of all linears together: evenly spread, in tiles (row_tile.h). 0:
  // all.
  size_t search_rows = 0;
};

struct AwqScaleResult {
  std::vector<float> scales;       // [in]
  std::optional<double> exponent;  // of the candidate taken; none: s = 1
  double loss = 0;                 // tr(D·H·Dᵀ) over the rows that decide, with it
  double identity_loss = 0;        // the same with s = 1, where that was tried
  std::vector<double> losses;      // of the exponents, in order
};

// `linears`: weights [out, in] of one `in`, that share the inputs; `gram` [in, in]: mean of x·xᵀ,
// upper triangle read; `mean_magnitude` [in]: mean of |x|. Errors: kValidationFailed for what is
// NaN or infinite; kInvalidArgument for sizes and options that do not fit.
absl::StatusOr<AwqScaleResult> SearchAwqScale(std::span<const Matrix* const> linears,
                                              const Matrix& gram,
                                              std::span<const float> mean_magnitude,
                                              const AwqScaleOptions& options, ThreadPool& threads);

// The same for linears of which not all are in memory at once: each is shown to AddMagnitudes, then
// each again to AddLosses, in the same order.
class AwqScaleSearch {
 public:
  // `gram` and `threads` must outlive the search. Errors: as above.
  static absl::StatusOr<AwqScaleSearch> Start(const Matrix& gram,
                                              std::span<const float> mean_magnitude,
                                              const AwqScaleOptions& options, ThreadPool& threads);
  absl::Status AddMagnitudes(const Matrix& weight);
  void AddLosses(const Matrix& weight);
  AwqScaleResult Finish() &&;

 private:
  AwqScaleSearch(const Matrix& gram, std::span<const float> mean_magnitude, AwqScaleOptions options,
                 ThreadPool& threads);
  void MakeCandidates();

  const Matrix* gram_;
  AwqScaleOptions options_;
  ThreadPool* threads_;
  std::vector<double> inputs_;  // [in]: mean |x|
  std::vector<double>
      weights_;      // [in]: sum over rows of |w| / (the largest |w| of its row's group)
  size_t rows_ = 0;  // that weights_ sums
  std::vector<std::vector<float>> candidates_;  // made at the first loss
  std::vector<double> losses_;                  // of each
  size_t tiles_ = 0, tiles_shown_ = 0;          // of all linears; that losses were added of
};

// What the inputs of a linear become whose weight is ScaleColumns(weight, s): `gram` (upper
// triangle) over s_i * s_j. `scales` has the columns' number.
Matrix ScaleGram(const Matrix& gram, std::span<const float> scales);

}  // namespace quantized
