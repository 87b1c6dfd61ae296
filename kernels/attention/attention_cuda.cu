#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/attention/attention.h"
#include "kernels/attention/running_softmax.h"

namespace quantized::kernels {
namespace {

constexpr int kWarp = 32, kWarps = 8, kThreads = kWarp * kWarps;
constexpr int kRows = 4;               // queries of a warp
constexpr int kTile = kWarps * kRows;  // queries of a block; also the keys of a tile, one per lane
static_assert(kTile == kWarp);

// Rows of a tile in shared memory are one float longer: threads that read the same element of
// different rows meet different banks.
__device__ void LoadTile(const float* from, uint64_t stride, uint64_t first, uint64_t count,
                         unsigned dim, unsigned to_stride, float* to) {
  for (unsigned i = threadIdx.x; i < kTile * dim; i += kThreads) {
    const unsigned row = i / dim, c = i % dim;
    to[row * to_stride + c] = first + row < count ? from[(first + row) * stride + c] : 0.0f;
  }
}

__device__ float LargestOfWarp(float value) {
  for (int mask = kWarp / 2; mask > 0; mask /= 2) {
    value = fmaxf(value, __shfl_xor_sync(~0u, value, mask));
  }
  return value;
}

// A block of threads for kTile queries of a head. Scores: lane = key. Outputs: lane = element of
// the head modulo 32, of which a thread has kChunks. So a row's weights are summed in 32 slots: key
// j in slot j mod 32.
template <int kChunks>
__global__ void __launch_bounds__(kThreads)
    AttentionKernel(AttentionShape shape, const float* q, uint64_t q_stride, const float* k,
                    const float* v, uint64_t kv_stride, float* out, uint64_t out_stride) {
  extern __shared__ float shared[];
  const unsigned dim = static_cast<unsigned>(shape.head_dim), tile_stride = dim + 1;
  float* queries = shared;              // [kTile, dim]
  float* tile = queries + kTile * dim;  // [kTile, dim + 1]: keys, then values
  const unsigned lane = threadIdx.x % kWarp, first_row = threadIdx.x / kWarp * kRows;
  const uint64_t head = blockIdx.y, group = head / (shape.heads / shape.kv_heads);
  // The blocks with most keys start first.
  const uint64_t first = uint64_t{gridDim.x - 1 - blockIdx.x} * kTile;
  const uint64_t last = first + kTile < shape.tokens ? first + kTile - 1 : shape.tokens - 1;
  q += head * dim;
  k += group * dim;
  v += group * dim;
  LoadTile(q, q_stride, first, shape.tokens, dim, dim, queries);

  float sums[kRows][kChunks] = {}, weight_sums[kRows] = {}, largest[kRows];
  for (float& score : largest) score = -INFINITY;
  for (uint64_t first_key = FirstVisibleKey(shape.window, first) / kTile * kTile; first_key <= last;
       first_key += kTile) {
    __syncthreads();  // the tile before is used up
    LoadTile(k, kv_stride, first_key, shape.tokens, dim, tile_stride, tile);
    __syncthreads();
    float dots[kRows] = {};
    for (unsigned c = 0; c < dim; ++c) {
      const float key = tile[lane * tile_stride + c];
      for (int r = 0; r < kRows; ++r) {
        dots[r] = fmaf(queries[(first_row + r) * dim + c], key, dots[r]);
      }
    }
    __syncthreads();
    LoadTile(v, kv_stride, first_key, shape.tokens, dim, tile_stride, tile);
    __syncthreads();
    float weights[kRows];
    for (int r = 0; r < kRows; ++r) {
      const uint64_t query = first + first_row + r, key = first_key + lane;
      const float score = SeesKey(shape.window, query, key) && key < shape.tokens
                              ? ScoreOfDot(dots[r], shape.scale, shape.softcap)
                              : -INFINITY;
      const float larger = fmaxf(largest[r], LargestOfWarp(score));
      const float correction = CorrectionOf(largest[r], larger);
      largest[r] = larger;
      weights[r] = WeightOfScore(score, larger);
      weight_sums[r] = fmaf(weight_sums[r], correction, weights[r]);
      for (int chunk = 0; chunk < kChunks; ++chunk) sums[r][chunk] *= correction;
    }
    for (int j = 0; j < kTile; ++j) {
      float values[kChunks];
      for (int chunk = 0; chunk < kChunks; ++chunk) {
        const unsigned c = lane + chunk * kWarp;
        values[chunk] = c < dim ? tile[j * tile_stride + c] : 0.0f;
      }
      for (int r = 0; r < kRows; ++r) {
        const float weight = __shfl_sync(~0u, weights[r], j);
        for (int chunk = 0; chunk < kChunks; ++chunk) {
          sums[r][chunk] = fmaf(weight, values[chunk], sums[r][chunk]);
        }
      }
    }
  }
  for (int r = 0; r < kRows; ++r) {
    float sum = weight_sums[r];
    for (int half = kWarp / 2; half > 0; half /= 2) sum += __shfl_down_sync(~0u, sum, half);
    sum = __shfl_sync(~0u, sum, 0);
    const uint64_t query = first + first_row + r;
    if (query >= shape.tokens) continue;
    for (int chunk = 0; chunk < kChunks; ++chunk) {
      const unsigned c = lane + chunk * kWarp;
      if (c < dim) out[query * out_stride + head * dim + c] = sums[r][chunk] / sum;
    }
  }
}

template <int kChunks>
int Launch(const AttentionShape& shape, const float* q, size_t q_stride, const float* k,
           const float* v, size_t kv_stride, float* out, size_t out_stride, cudaStream_t stream) {
  const size_t bytes = kTile * (2 * shape.head_dim + 1) * sizeof(float);
  // More than 48 KB of shared memory has to be asked for.
  const cudaError_t error =
      cudaFuncSetAttribute(AttentionKernel<kChunks>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                           static_cast<int>(bytes));
  if (error != cudaSuccess) return error;
  const dim3 grid(static_cast<unsigned>((shape.tokens + kTile - 1) / kTile),
                  static_cast<unsigned>(shape.heads));
  AttentionKernel<kChunks>
      <<<grid, kThreads, bytes, stream>>>(shape, q, q_stride, k, v, kv_stride, out, out_stride);
  return cudaGetLastError();
}

}  // namespace

int AttentionCuda(const AttentionShape& shape, const float* q, size_t q_stride, const float* k,
                  const float* v, size_t kv_stride, float* out, size_t out_stride, void* stream) {
  if (shape.tokens == 0 || shape.heads == 0) return cudaSuccess;
  if (shape.head_dim == 0 || shape.head_dim > 512) return cudaErrorInvalidValue;
  const auto launch = shape.head_dim <= 64    ? Launch<2>
                      : shape.head_dim <= 128 ? Launch<4>
                      : shape.head_dim <= 256 ? Launch<8>
                                              : Launch<16>;
  return launch(shape, q, q_stride, k, v, kv_stride, out, out_stride,
                static_cast<cudaStream_t>(stream));
}

}  // namespace quantized::kernels
