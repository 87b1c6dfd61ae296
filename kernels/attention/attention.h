// Causal attention of one sequence (Vaswani et al., 2017, equation 1) with grouped keys and values
// (Ainslie et al., 2023), sliding windows and capped scores (Gemma 2, section 2). For query i of
// head h and the keys j that it sees:
//
//   s[j] = scale * q[i, h] · k[j, g],  g = h / (heads / kv_heads)
//   s[j] = softcap * tanh(s[j] / softcap)                               where softcap is not 0
//   out[i, h] = sum over j of softmax(s)[j] * v[j, g]
//
// Query i sees key j iff j <= i and, where window is not 0, i - j < window. Matrices are row-major
// f32 with a stride in floats from token to token: q and out [tokens, heads * head_dim], k and v
// [tokens, kv_heads * head_dim]. heads is a multiple of kv_heads.
//
// Bounded. With S the largest scale * sum of |q| |k| of a query's keys, each of its scores is
// within e = (head_dim + 4) * 2^-24 * S, with a softcap e = (head_dim + 16) * 2^-24 * S, of the one
// in double precision; an output is within (3 e + (keys + 32) * 2^-24) * max |v| plus keys * 2^-120
// * max |v|, for finite scores. Order of sums: the products' is OpenBLAS's; a row's weights are
// summed in 32 slots (kernels/lanes/slots.h) from its first key on. Blocks of queries depend on the
// shape alone, and a call runs on the calling thread only, so results do not depend on threads;
// they do, within the bound, on the processor and on where a sequence is split.
#pragma once

#include <cstddef>

#include "kernels/types/host_device.h"

namespace quantized::kernels {

struct AttentionShape {
  size_t tokens, heads, kv_heads, head_dim;
  size_t window = 0;  // 0: none
  float scale;
  float softcap = 0;  // 0: none
};

// The memory of `out` overlaps none of the others.
void AttentionRef(const AttentionShape& shape, const float* q, size_t q_stride, const float* k,
                  const float* v, size_t kv_stride, float* out, size_t out_stride);
// What AttentionSimd takes of memory: at most 4 MB for scores, or those of 8 queries for each head
// of keys where that is more, and rows of a head's width.
size_t AttentionSimdBytes(const AttentionShape& shape);
void AttentionSimd(const AttentionShape& shape, const float* q, size_t q_stride, const float* k,
                   const float* v, size_t kv_stride, float* out, size_t out_stride);
// The same on a device, in its memory, for heads of up to 512 values; returns a cudaError_t
// (kernels/forward_cuda). Weights are relative to the largest score so far and are scaled when a
// larger one comes, which adds 2^-22 * (keys / 32 + 1) * max |v| to the bound.
int AttentionCuda(const AttentionShape& shape, const float* q, size_t q_stride, const float* k,
                  const float* v, size_t kv_stride, float* out, size_t out_stride, void* stream);

// The first key that a query sees; the last is the query's own.
QUANTIZED_HOST_DEVICE inline size_t FirstVisibleKey(size_t window, size_t query) {
  return window != 0 && query >= window ? query - window + 1 : 0;
}

}  // namespace quantized::kernels
