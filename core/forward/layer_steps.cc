#include "core/forward/layer_steps.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "kernels/blas/blas.h"
#include "kernels/rms_norm/rms_norm.h"
#include "kernels/rotary/rotary.h"

namespace quantized {
namespace {

// The outputs of linears that share their inputs, side by side: [rows, sum of their outputs].
std::vector<float> ApplyTogether(const std::vector<Linear>& linears, size_t rows, const float* x) {
  size_t stride = 0;
  for (const Linear& linear : linears) stride += linear.weight.rows;
  std::vector<float> y(rows * stride);
  size_t first = 0;
  for (const Linear& linear : linears) {
    ApplyLinear(linear, rows, x, y.data() + first, stride);
    first += linear.weight.rows;
  }
  return y;
}

}  // namespace

kernels::Activation ActivationOf(const ForwardConfig& config) {
  return config.architecture->forward.activation == ForwardRules::Activation::kSilu
             ? kernels::Activation::kSilu
             : kernels::Activation::kGeluTanh;
}

kernels::AttentionShape AttentionShapeOf(const ForwardConfig& config, uint32_t layer,
                                         size_t tokens) {
  return {.tokens = tokens,
          .heads = config.geometry.heads,
          .kv_heads = config.geometry.kv_heads,
          .head_dim = config.geometry.head_dim,
          .window = config.layers[layer].window,
          .scale = config.attention_scale,
          .softcap = config.attention_softcap};
}

void ApplyNorm(const ForwardConfig& config, const Norm& norm, size_t rows, const float* x,
               float* out) {
  kernels::RmsNormSimd(rows, norm.factors.size(), x, norm.factors.data(), config.norm_epsilon, out);
}

void ApplyLinear(const Linear& linear, size_t rows, const float* x, float* y, size_t stride) {
  const Matrix& weight = linear.weight;
  for (size_t row = 0; row < rows && !linear.bias.empty(); ++row) {
    std::copy(linear.bias.begin(), linear.bias.end(), y + row * stride);
  }
  kernels::MatMul(rows, weight.rows, weight.cols, x, weight.cols, weight.values.data(), weight.cols,
                  y, stride, {.transpose_b = true, .beta = linear.bias.empty() ? 0.0f : 1.0f});
}

void Attend(const ForwardConfig& config, const AttentionWeights& weights, uint32_t layer,
            const RotaryTable& rotation, size_t tokens, const float* h, float* out) {
  const size_t heads = config.geometry.heads, kv_heads = config.geometry.kv_heads;
  const size_t head_dim = config.geometry.head_dim;
  const size_t stride = config.query_size() + 2 * config.key_size();
  std::vector<float> qkv = ApplyTogether(weights.qkv, tokens, h);
  float* query = qkv.data();
  float* key = query + config.query_size();
  const float* value = key + config.key_size();
  for (size_t token = 0; token < tokens && !weights.query_norm.factors.empty(); ++token) {
    float* q = query + token * stride;
    float* k = key + token * stride;
    ApplyNorm(config, weights.query_norm, heads, q, q);
    ApplyNorm(config, weights.key_norm, kv_heads, k, k);
  }
  for (const auto& [x, count] : {std::pair{query, heads}, std::pair{key, kv_heads}}) {
    kernels::ApplyRotarySimd(tokens, count, head_dim, rotation.dim, rotation.cos.values.data(),
                             rotation.sin.values.data(), x, stride);
  }
  kernels::AttentionSimd(AttentionShapeOf(config, layer, tokens), query, stride, key, value, stride,
                         out, config.query_size());
}

void ProjectOutput(const ForwardConfig& config, const Linear& projection, const Norm& norm,
                   size_t rows, const float* inner, float* y) {
  ApplyLinear(projection, rows, inner, y, config.geometry.hidden);
  if (!norm.factors.empty()) ApplyNorm(config, norm, rows, y, y);
}

void GateAndUp(const ForwardConfig& config, const ExpertWeights& weights, size_t rows,
               const float* h, float* out) {
  const size_t width = weights.down.weight.cols;
  const std::vector<float> both = ApplyTogether(weights.gate_up, rows, h);
  const kernels::Activation activation = ActivationOf(config);
  for (size_t row = 0; row < rows; ++row) {
    const float* gate = both.data() + row * 2 * width;
    kernels::GatedActivationSimd(activation, width, gate, gate + width, out + row * width);
  }
}

std::vector<Route> RouteTokens(const ForwardConfig& config, const FeedForwardWeights& weights,
                               size_t tokens, const float* h) {
  const size_t experts = config.experts, chosen = config.experts_per_token;
  std::vector<float> logits(tokens * experts);
  ApplyLinear(weights.router, tokens, h, logits.data(), experts);
  std::vector<Route> routes;
  routes.reserve(tokens * chosen);
  std::vector<uint32_t> order(experts);
  for (size_t token = 0; token < tokens; ++token) {
    const float* row = logits.data() + token * experts;
    std::iota(order.begin(), order.end(), 0);
    // By index where two are equal, so that the order is the same everywhere.
    std::partial_sort(
        order.begin(), order.begin() + chosen, order.end(),
        [row](uint32_t a, uint32_t b) { return row[a] != row[b] ? row[a] > row[b] : a < b; });
    const double top = row[order[0]];
    double all = 0, taken = 0;
    for (size_t e = 0; e < experts; ++e) all += std::exp(row[e] - top);
    for (size_t i = 0; i < chosen; ++i) taken += std::exp(row[order[i]] - top);
    for (size_t i = 0; i < chosen; ++i) {
      const double share = std::exp(row[order[i]] - top);
      routes.push_back(
          {order[i], static_cast<float>(share / (config.normalizes_expert_weights ? taken : all))});
    }
  }
  return routes;
}

void CapSoftly(float softcap, size_t count, float* x) {
  for (size_t i = 0; softcap > 0 && i < count; ++i) x[i] = softcap * std::tanh(x[i] / softcap);
}

}  // namespace quantized
