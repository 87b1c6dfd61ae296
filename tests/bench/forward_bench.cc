// Speed of the kernels of a forward pass on one thread, plain and Highway form, and of the matrix
// products around them. "values/s" counts what a kernel reads of its first input; "FLOP/s" two
// operations for each product.
//
//   forward_bench [google-benchmark's options]
//
// Layer/*: all of what one layer of a model computes for 512 tokens, so that their times compare.
#include <benchmark/benchmark.h>

#include <cmath>
#include <vector>

#include "kernels/attention/attention.h"
#include "kernels/blas/blas.h"
#include "kernels/blas/core_type.h"
#include "kernels/divergence/divergence.h"
#include "kernels/gated_activation/gated_activation.h"
#include "kernels/rms_norm/rms_norm.h"
#include "kernels/rotary/rotary.h"
#include "kernels/testing/rows.h"

namespace quantized::kernels {
namespace {

constexpr size_t kTokens = 512;

// A layer with SmolLM2-135M's shapes: 3.5 million weights.
constexpr size_t kHidden = 576, kFeedForward = 1536, kHeads = 9, kKvHeads = 3, kHeadDim = 64;
constexpr size_t kVocabulary = 49'152, kLogitRows = 8;

std::vector<float> Values(size_t count, uint64_t seed = 1) {
  std::vector<float> values(count);
  testing::RowKindNamed("normal").fill(values, seed);
  for (float& value : values) value *= 50;  // the kind's deviation is 1 / 50
  return values;
}

void SetRate(benchmark::State& state, const char* unit, double each) {
  state.counters[unit] = benchmark::Counter(each, benchmark::Counter::kIsIterationInvariantRate);
}

template <auto kNorm>
void RmsNorm(benchmark::State& state) {
  const auto x = Values(kTokens * kHidden), weight = Values(kHidden);
  std::vector<float> out(x.size());
  for (auto _ : state) {
    kNorm(kTokens, kHidden, x.data(), weight.data(), 1e-5f, out.data());
    benchmark::ClobberMemory();
  }
  SetRate(state, "values/s", static_cast<double>(x.size()));
}
BENCHMARK(RmsNorm<RmsNormRef>)->Name("RmsNorm/plain");
BENCHMARK(RmsNorm<RmsNormSimd>)->Name("RmsNorm/simd");

template <auto kApply>
void Rotary(benchmark::State& state) {
  auto x = Values(kTokens * kHidden);
  const std::vector<float> cos(kTokens * kHeadDim / 2, 0.6f), sin(kTokens * kHeadDim / 2, 0.8f);
  for (auto _ : state) {
    kApply(kTokens, kHeads, kHeadDim, kHeadDim, cos.data(), sin.data(), x.data(), kHidden);
    benchmark::ClobberMemory();
  }
  SetRate(state, "values/s", static_cast<double>(x.size()));
}
BENCHMARK(Rotary<ApplyRotaryRef>)->Name("Rotary/plain");
BENCHMARK(Rotary<ApplyRotarySimd>)->Name("Rotary/simd");

template <auto kGate, Activation kActivation>
void Gate(benchmark::State& state) {
  const auto gate = Values(kTokens * kFeedForward), up = Values(gate.size(), 2);
  std::vector<float> out(gate.size());
  for (auto _ : state) {
    kGate(kActivation, gate.size(), gate.data(), up.data(), out.data());
    benchmark::ClobberMemory();
  }
  SetRate(state, "values/s", static_cast<double>(gate.size()));
}
BENCHMARK(Gate<GatedActivationRef, Activation::kSilu>)->Name("Silu/plain");
BENCHMARK(Gate<GatedActivationSimd, Activation::kSilu>)->Name("Silu/simd");
BENCHMARK(Gate<GatedActivationRef, Activation::kGeluTanh>)->Name("GeluTanh/plain");
BENCHMARK(Gate<GatedActivationSimd, Activation::kGeluTanh>)->Name("GeluTanh/simd");

template <auto kAttention>
void Attention(benchmark::State& state) {
  const AttentionShape shape = {.tokens = static_cast<size_t>(state.range(0)),
                                .heads = kHeads,
                                .kv_heads = kKvHeads,
                                .head_dim = kHeadDim,
                                .window = static_cast<size_t>(state.range(1)),
                                .scale = 0.125f,
                                .softcap = static_cast<float>(state.range(2))};
  const size_t kv_stride = kKvHeads * kHeadDim;
  const auto q = Values(shape.tokens * kHidden), k = Values(shape.tokens * kv_stride, 2);
  const auto v = Values(shape.tokens * kv_stride, 3);
  std::vector<float> out(q.size());
  for (auto _ : state) {
    kAttention(shape, q.data(), kHidden, k.data(), v.data(), kv_stride, out.data(), kHidden);
    benchmark::ClobberMemory();
  }
  // What causal attention needs: two products for each pair of a query and a key that it sees.
  double pairs = 0;
  for (size_t i = 0; i < shape.tokens; ++i) {
    pairs += static_cast<double>(i + 1 - FirstVisibleKey(shape.window, i));
  }
  SetRate(state, "FLOP/s", 4 * pairs * kHeadDim * kHeads);
}
BENCHMARK(Attention<AttentionRef>)->Name("Attention/plain")->Args({kTokens, 0, 0});
BENCHMARK(Attention<AttentionSimd>)
    ->Name("Attention/simd")
    ->ArgNames({"tokens", "window", "softcap"})
    ->Args({kTokens, 0, 0})
    ->Args({kTokens, 0, 50})
    ->Args({2048, 0, 0})
    ->Args({2048, 512, 0});

template <auto kCompare>
void Divergence(benchmark::State& state) {
  const auto source = Values(kLogitRows * kVocabulary), other = Values(source.size(), 2);
  const std::vector<uint32_t> targets(kLogitRows, 7);
  std::vector<RowDivergence> out(kLogitRows);
  for (auto _ : state) {
    kCompare(kLogitRows, kVocabulary, source.data(), other.data(), targets.data(), out.data());
    benchmark::ClobberMemory();
  }
  SetRate(state, "values/s", static_cast<double>(source.size()));
}
BENCHMARK(Divergence<CompareLogitsRef>)->Name("Divergence/plain");
BENCHMARK(Divergence<CompareLogitsSimd>)->Name("Divergence/simd");

// x[tokens, in] · weight[out, in]ᵀ
void Project(benchmark::State& state) {
  const size_t outs = static_cast<size_t>(state.range(0)),
               ins = static_cast<size_t>(state.range(1));
  const auto x = Values(kTokens * ins), weight = Values(outs * ins, 2);
  std::vector<float> out(kTokens * outs);
  for (auto _ : state) {
    MatMul(kTokens, outs, ins, x.data(), ins, weight.data(), ins, out.data(), outs,
           {.transpose_b = true});
    benchmark::ClobberMemory();
  }
  SetRate(state, "FLOP/s", 2.0 * kTokens * static_cast<double>(outs * ins));
}
BENCHMARK(Project)
    ->Name("MatMul")
    ->ArgNames({"out", "in"})
    ->Args({kHidden, kHidden})
    ->Args({kKvHeads * kHeadDim, kHidden})
    ->Args({kFeedForward, kHidden})
    ->Args({kHidden, kFeedForward})
    ->Args({4096, 4096});

void LayerProducts(benchmark::State& state) {
  struct Shape {
    size_t outs, ins;
  };
  constexpr Shape kShapes[] = {
      {kHidden, kHidden},      {kKvHeads * kHeadDim, kHidden}, {kKvHeads * kHeadDim, kHidden},
      {kHidden, kHidden},      {kFeedForward, kHidden},        {kFeedForward, kHidden},
      {kHidden, kFeedForward},
  };
  const auto x = Values(kTokens * kFeedForward), weight = Values(kFeedForward * kHidden, 2);
  std::vector<float> out(kTokens * kFeedForward);
  double weights = 0;
  for (const auto& [outs, ins] : kShapes) weights += static_cast<double>(outs * ins);
  for (auto _ : state) {
    for (const auto& [outs, ins] : kShapes) {
      MatMul(kTokens, outs, ins, x.data(), ins, weight.data(), ins, out.data(), outs,
             {.transpose_b = true});
    }
    benchmark::ClobberMemory();
  }
  SetRate(state, "FLOP/s", 2.0 * kTokens * weights);
}
BENCHMARK(LayerProducts)->Name("Layer/products");

void LayerRest(benchmark::State& state) {
  const AttentionShape shape = {.tokens = kTokens,
                                .heads = kHeads,
                                .kv_heads = kKvHeads,
                                .head_dim = kHeadDim,
                                .scale = 0.125f};
  auto x = Values(kTokens * kFeedForward), y = Values(kTokens * kFeedForward, 2);
  const auto v = Values(kTokens * kKvHeads * kHeadDim, 3), weight = Values(kHidden, 4);
  const std::vector<float> cos(kTokens * kHeadDim / 2, 0.6f), sin(kTokens * kHeadDim / 2, 0.8f);
  std::vector<float> out(x.size());
  for (auto _ : state) {
    for (int norm = 0; norm < 2; ++norm) {
      RmsNormSimd(kTokens, kHidden, x.data(), weight.data(), 1e-5f, out.data());
    }
    ApplyRotarySimd(kTokens, kHeads, kHeadDim, kHeadDim, cos.data(), sin.data(), x.data(), kHidden);
    ApplyRotarySimd(kTokens, kKvHeads, kHeadDim, kHeadDim, cos.data(), sin.data(), y.data(),
                    kKvHeads * kHeadDim);
    AttentionSimd(shape, x.data(), kHidden, y.data(), v.data(), kKvHeads * kHeadDim, out.data(),
                  kHidden);
    GatedActivationSimd(Activation::kSilu, x.size(), x.data(), y.data(), out.data());
    benchmark::ClobberMemory();
  }
}
BENCHMARK(LayerRest)->Name("Layer/rest");

}  // namespace
}  // namespace quantized::kernels

int main(int argc, char** argv) {
  quantized::kernels::UseFittingBlasKernels(argv);
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
