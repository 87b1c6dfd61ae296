// The steps of a layer on the tokens of one sequence, or on rows of any tokens where a step takes
// each row by itself. f32 throughout; matrix products through OpenBLAS. Each call runs on the
// calling thread. Formulas by family: docs/design/forward.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/forward/forward_config.h"
#include "core/forward/layer_weights.h"
#include "core/forward/rotary_table.h"
#include "kernels/attention/attention.h"
#include "kernels/gated_activation/gated_activation.h"

namespace quantized {

// What the kernels are told of the model.
kernels::Activation ActivationOf(const ForwardConfig& config);
kernels::AttentionShape AttentionShapeOf(const ForwardConfig& config, uint32_t layer,
                                         size_t tokens);

// out[rows, size of norm]; `out` may be `x`.
void ApplyNorm(const ForwardConfig& config, const Norm& norm, size_t rows, const float* x,
               float* out);

// y[rows, out] = x[rows, in] · weightᵀ + bias, rows of y `stride` apart.
void ApplyLinear(const Linear& linear, size_t rows, const float* x, float* y, size_t stride);

// What attention makes of its normed inputs h[tokens, hidden]: out[tokens, query_size], the inputs
// of the output projection.
void Attend(const ForwardConfig& config, const AttentionWeights& weights, uint32_t layer,
            const RotaryTable& rotation, size_t tokens, const float* h, float* out);

// y[rows, hidden] = norm(projection of inner), without the norm where that is empty.
void ProjectOutput(const ForwardConfig& config, const Linear& projection, const Norm& norm,
                   size_t rows, const float* inner, float* y);

// act(gate(h)) * up(h): out[rows, width].
void GateAndUp(const ForwardConfig& config, const ExpertWeights& weights, size_t rows,
               const float* h, float* out);

// For each token the experts that it goes to, and their weights.
struct Route {
  uint32_t expert;
  float weight;
};
// routes[tokens * experts_per_token], of each token by falling weight.
std::vector<Route> RouteTokens(const ForwardConfig& config, const FeedForwardWeights& weights,
                               size_t tokens, const float* h);

// softcap * tanh(x / softcap), in place; nothing for 0.
void CapSoftly(float softcap, size_t count, float* x);

}  // namespace quantized
