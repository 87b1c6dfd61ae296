// Rotary position embedding (Su et al., 2021, section 3.4.2), in the layout "rotate half": element
// i of the first half of a head's first `rotary_dim` values makes a pair with element i of the
// second half. The angles are the caller's, so scaling rules for long contexts are, too.
//
// x is [tokens, heads, head_dim], f32, with `stride` floats from token to token (at least heads *
// head_dim); cos and sin are [tokens, rotary_dim / 2]. All forms give the same bits: two products
// and a sum, each rounded once. Tokens and heads may be split among threads anyhow.
#pragma once

#include <cstddef>

#include "kernels/types/host_device.h"

namespace quantized::kernels {

// Replaces each pair (x1, x2) by (x1 cos - x2 sin, x2 cos + x1 sin), in place. rotary_dim is even
// and at most head_dim; values of a head from rotary_dim on stay.
void ApplyRotaryRef(size_t tokens, size_t heads, size_t head_dim, size_t rotary_dim,
                    const float* cos, const float* sin, float* x, size_t stride);
void ApplyRotarySimd(size_t tokens, size_t heads, size_t head_dim, size_t rotary_dim,
                     const float* cos, const float* sin, float* x, size_t stride);
// The same on a device, in its memory; returns a cudaError_t (kernels/forward_cuda).
int ApplyRotaryCuda(size_t tokens, size_t heads, size_t head_dim, size_t rotary_dim,
                    const float* cos, const float* sin, float* x, size_t stride, void* stream);

QUANTIZED_HOST_DEVICE inline void RotatePair(float cos, float sin, float& x1, float& x2) {
  const float first = x1 * cos - x2 * sin;
  x2 = x2 * cos + x1 * sin;
  x1 = first;
}

}  // namespace quantized::kernels
