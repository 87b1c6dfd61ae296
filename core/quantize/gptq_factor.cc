#include "core/quantize/gptq_factor.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "kernels/blas/blas.h"

namespace quantized {
namespace {

// H as GPTQ takes it, with what is added to it. Columns without input stand apart: 0 beside the
// diagonal.
struct DampedGram {
  const Matrix& gram;
  const GptqFactor& factor;

  double operator()(size_t i, size_t j) const {  // positions
    const size_t a = factor.order[i], b = factor.order[j];
    if (a == b) return static_cast<double>(gram.at(a, a)) + static_cast<double>(factor.added[a]);
    if (factor.dead[a] || factor.dead[b]) return 0;
    return static_cast<double>(a < b ? gram.at(a, b) : gram.at(b, a));
  }
};

template <class T>
bool Factorize(const DampedGram& damped, Matrix& upper) {
  const size_t n = damped.gram.cols;
  std::vector<T> a(n * n);
  for (size_t i = 0; i < n; ++i) {
    for (size_t j = i; j < n; ++j) a[i * n + j] = static_cast<T>(damped(i, j));
  }
  if (!kernels::InverseCholesky(n, a.data(), n)) return false;
  const bool usable = std::all_of(a.begin(), a.end(),
                                  [](T value) { return std::isfinite(static_cast<float>(value)); });
  // Errors are divided by the diagonal.
  for (size_t i = 0; i < n && usable; ++i) {
    if (!(static_cast<float>(a[i * n + i]) > 0)) return false;
  }
  if (!usable) return false;
  upper = Matrix(n, n);
  std::transform(a.begin(), a.end(), upper.values.begin(),
                 [](T value) { return static_cast<float>(value); });
  return true;
}

// The damping steps grow, so that few factorizations find the first that will do.
constexpr double kFirstStep = 0.01;
constexpr double kDampingLimit = 1;
constexpr double kFirstFloor = 1e-6;
constexpr int kFloors = 6;

class Ladder {
 public:
  Ladder(const Matrix& gram, GptqFactor& factor) : gram_(gram), factor_(factor) {
    double sum = 0;
    size_t live = 0;
    for (size_t i = 0; i < gram.cols; ++i) {
      if (factor.dead[i]) continue;
      sum += static_cast<double>(gram.at(i, i));
      largest_ = std::max(largest_, gram.at(i, i));
      ++live;
    }
    mean_ = live == 0 ? 1 : sum / static_cast<double>(live);
  }

  void Climb(double damping) {
    Damp(damping, 0);
    if (Factorize<float>({gram_, factor_}, factor_.upper)) return;
    if (Factorize<double>({gram_, factor_}, factor_.upper)) {
      factor_.notes.push_back("the gram matrix needed double precision");
      return;
    }
    double used = damping;
    for (double step = kFirstStep; used + step < kDampingLimit; step *= 2) {
      used += step;
      Damp(used, 0);
      if (!Factorize<double>({gram_, factor_}, factor_.upper)) continue;
      factor_.notes.push_back(StrCat("damping raised from ", damping, " to ", used,
                                     ": the gram matrix is not positive definite"));
      return;
    }
    double floor = kFirstFloor;
    for (int i = 0; i < kFloors; ++i, floor *= 10) {
      Damp(used, floor);
      if (!Factorize<double>({gram_, factor_}, factor_.upper)) continue;
      factor_.notes.push_back(StrCat("damping raised from ", damping, " to ", used,
                                     " and the diagonal of the gram matrix to at least ", floor,
                                     " of its largest element"));
      return;
    }
    factor_.notes.push_back(StrCat("the gram matrix is not positive definite with damping ", used));
  }

 private:
  void Damp(double damping, double floor) {
    factor_.damping_used = damping;
    const auto ridge = static_cast<float>(damping * mean_);
    const auto least = static_cast<float>(floor * static_cast<double>(largest_));
    for (size_t i = 0; i < gram_.cols; ++i) {
      const float own = gram_.at(i, i);
      factor_.added[i] =
          factor_.dead[i] ? static_cast<float>(mean_) - own : std::max(ridge, least - own);
    }
  }

  const Matrix& gram_;
  GptqFactor& factor_;
  double mean_ = 1;
  float largest_ = 0;
};

void NoteDeadColumns(GptqFactor& factor) {
  const auto dead = std::count(factor.dead.begin(), factor.dead.end(), true);
  if (dead == 0) return;
  factor.notes.push_back(
      StrCat(dead, " of ", factor.dead.size(), " input columns had no input: rounded to nearest"));
}

// The range search's weights, once there is a factor.
void WeighRanges(const Matrix& gram, RangeSearch search, GptqFactor& factor) {
  for (size_t position = 0; position < gram.cols; ++position) {
    const size_t col = factor.order[position];
    if (search == RangeSearch::kHessianDiagonal) {
      factor.range_weights[col] = factor.dead[col] ? 0 : gram.at(col, col);
    } else if (search == RangeSearch::kInverseDiagonal && !factor.upper.empty()) {
      const float pivot = factor.upper.at(position, position);
      factor.range_weights[col] = factor.dead[col] ? 0 : 1 / (pivot * pivot);
    }
  }
}

}  // namespace

// In double precision, which some matrices need: as damped, and as kernels::InverseCholesky has it
// for LAPACK. What is there for each column is small beside it.
uint64_t FactorMemoryBytes(uint64_t cols) {
  constexpr uint64_t kOfEachColumn = 64;
  return 2 * cols * cols * sizeof(double) + kOfEachColumn * cols;
}

absl::StatusOr<GptqFactor> MakeGptqFactor(const Matrix& gram, const GptqFactorOptions& options) {
  const size_t n = gram.cols;
  RETURN_IF_ERROR(CheckGramShape(gram, n));
  if (n == 0)
    return MakeError(Error::kInvalidArgument, "gram matrix: found no columns, expected some");
  RETURN_IF_ERROR(CheckGrid({.group_size = options.group_size}, n));
  if (!(options.damping >= 0 && options.damping < kDampingLimit)) {
    return MakeError(Error::kInvalidArgument,
                     StrCat("damping: found ", options.damping, ", expected from 0 to below 1"));
  }
  GptqFactor factor;
  factor.added.resize(n);
  factor.dead.resize(n);
  factor.range_weights.assign(n, 1.0f);
  factor.order.resize(n);
  std::iota(factor.order.begin(), factor.order.end(), 0u);
  if (const absl::Status finite = CheckGramFinite(gram); !finite.ok()) {
    factor.notes.emplace_back(finite.message());
    return factor;
  }
  std::vector<float> diagonal(n);
  for (size_t i = 0; i < n; ++i) {
    factor.dead[i] = !(gram.at(i, i) > 0);
    diagonal[i] = factor.dead[i] ? 0 : gram.at(i, i);
  }
  NoteDeadColumns(factor);
  factor.order = OrderColumns(diagonal, ResolvedGroupSize(options.group_size, n), options.order);
  Ladder(gram, factor).Climb(options.damping);
  WeighRanges(gram, options.search, factor);
  return factor;
}

}  // namespace quantized
