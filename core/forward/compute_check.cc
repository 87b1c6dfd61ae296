#include "core/forward/compute_check.h"

#include <cmath>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/forward/input_statistics.h"
#include "core/forward/layer_weights.h"

namespace quantized {
namespace {

// Root mean square of a difference, of that of the processor's values. Products in f32 are nearer
// by orders of magnitude (docs/design/cuda.md), products of a wrong matrix farther.
constexpr double kLargestDifference = 1e-3;

struct Half {
  std::string_view name;
  const Norm& input_norm;
  const Linear& projection;
  const Norm& output_norm;
};

struct Computed {
  std::vector<float> output;
  InputStatistics input, inner;
};

absl::StatusOr<Computed> Run(const Half& half, size_t rows, const float* x, StatisticsKind kind,
                             LayerCompute& compute) {
  RETURN_IF_ERROR(compute.SetInput(half.input_norm));
  RETURN_IF_ERROR(compute.SetOutput(half.projection, half.output_norm));
  RETURN_IF_ERROR(compute.StartSums(kind, kind));
  RETURN_IF_ERROR(compute.MakeInput(0, rows, x));
  RETURN_IF_ERROR(compute.MakeInner(0));
  Computed computed;
  computed.output.resize(rows * half.projection.weight.rows);
  RETURN_IF_ERROR(compute.MakeOutput(0, computed.output.data()));
  RETURN_IF_ERROR(compute.AddToSums(1));
  ASSIGN_OR_RETURN(computed.input, compute.FinishInput());
  ASSIGN_OR_RETURN(computed.inner, compute.FinishInner());
  return computed;
}

template <class T>
absl::Status Compare(std::string_view half, std::string_view what, const std::vector<T>& got,
                     const std::vector<T>& want) {
  double difference = 0, size = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    const auto expected = static_cast<double>(want[i]);
    difference += std::pow(static_cast<double>(got[i]) - expected, 2);
    size += expected * expected;
  }
  const double relative = size > 0 ? std::sqrt(difference / size) : std::sqrt(difference);
  if (relative <= kLargestDifference) return absl::OkStatus();  // not so for NaN
  return MakeError(Error::kInternal,
                   StrCat("the device computes wrongly: in the first layer's ", half, " its ", what,
                          " differ from the processor's by ", relative, ", expected at most ",
                          kLargestDifference),
                   "Use --device cpu, and report the device and its driver");
}

absl::Status Compare(const Half& half, const Computed& got, const Computed& want) {
  RETURN_IF_ERROR(Compare(half.name, "outputs", got.output, want.output));
  for (const auto& [a, b] :
       {std::pair{&got.input, &want.input}, std::pair{&got.inner, &want.inner}}) {
    RETURN_IF_ERROR(Compare(half.name, "sums of squares", a->squares, b->squares));
    RETURN_IF_ERROR(Compare(half.name, "sums of magnitudes", a->magnitudes, b->magnitudes));
    RETURN_IF_ERROR(Compare(half.name, "Gram matrices", a->gram.values, b->gram.values));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckCompute(const ForwardConfig& config, const TensorSource& source,
                          const RotaryTable& rotation, size_t rows, const float* x,
                          LayerCompute& compute, ThreadPool& threads) {
  const auto processor = MakeProcessorCompute(config, threads);
  const auto check = [&](const Half& half, const auto& set_inner) -> absl::Status {
    RETURN_IF_ERROR(set_inner(*processor));
    ASSIGN_OR_RETURN(const Computed want, Run(half, rows, x, compute.most(), *processor));
    RETURN_IF_ERROR(set_inner(compute));
    ASSIGN_OR_RETURN(const Computed got, Run(half, rows, x, compute.most(), compute));
    return Compare(half, got, want);
  };
  ASSIGN_OR_RETURN(const AttentionWeights attention, LoadAttention(config, source, 0));
  RETURN_IF_ERROR(
      check({"attention", attention.input_norm, attention.output, attention.output_norm},
            [&](LayerCompute& one) { return one.SetAttention(attention, 0, rotation); }));
  ASSIGN_OR_RETURN(const FeedForwardWeights shared, LoadFeedForward(config, source, 0));
  ASSIGN_OR_RETURN(const ExpertWeights expert, LoadExpert(config, source, 0, 0));
  return check({"feed-forward part", shared.input_norm, expert.down, shared.output_norm},
               [&](LayerCompute& one) { return one.SetExpert(expert); });
}

}  // namespace quantized
