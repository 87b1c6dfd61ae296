// The C table through which programs use the module of forward passes
// (libquantized_forward_cuda.so), which they open at run time. It is not part of
// libquantized_cuda.so because it needs cuBLAS, which encoding does not. Codes are CudaCode
// (kernels/cuda/device_api.h). Plain C types only; no function throws.
//
// Memory is the device's unless a name says host. What a session is asked for is done in order on
// its stream; but for `wait`, `upload` and `download`, calls return before it is done, and a
// failure of the device may show in a later call. Matrices are row-major, f32 unless a name says
// otherwise, with row strides in elements.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/attention/attention.h"
#include "kernels/cuda/device_api.h"

namespace quantized::kernels {

// Raised with every change of the table.
inline constexpr uint32_t kForwardCudaApiVersion = 2;

// A stream and a cuBLAS handle of a device. One thread at a time.
struct ForwardSession;

// c[m, n] = alpha * a[m, k] · b[n, k]ᵀ + beta * c.
struct ForwardProduct {
  uint64_t m, n, k;
  const void* a;
  uint64_t lda;
  const void* b;
  uint64_t ldb;
  float* c;
  uint64_t ldc;
  float alpha, beta;
};

struct ForwardCudaApi {
  uint32_t version;
  int (*count_devices)(int* count);
  int (*describe)(int device, CudaDeviceInfo* info);  // waits until the device is ready
  int (*open_session)(int device, ForwardSession** session);
  void (*close_session)(ForwardSession* session);  // null: nothing

  int (*allocate)(ForwardSession* session, uint64_t bytes, void** memory);
  void (*release)(ForwardSession* session, void* memory);  // null: nothing
  int (*upload)(ForwardSession* session, void* to, const void* from_host, uint64_t bytes);
  int (*download)(ForwardSession* session, void* to_host, const void* from, uint64_t bytes);
  int (*copy)(ForwardSession* session, void* to, const void* from, uint64_t bytes);
  int (*zero)(ForwardSession* session, void* memory, uint64_t bytes);
  int (*wait)(ForwardSession* session);

  // Each row of x[rows, cols], `stride` apart, becomes `row`: a bias, before a product is added.
  int (*fill_rows)(ForwardSession* session, uint64_t rows, uint64_t cols, const float* row,
                   float* x, uint64_t stride);
  // a and b are f32; sums in f32, no TF32.
  int (*matmul_nt)(ForwardSession* session, const ForwardProduct* product);
  // a and b are bf16; products are exact and summed in f32.
  int (*matmul_nt_bf16)(ForwardSession* session, const ForwardProduct* product);
  // gram[n, n] += xᵀ · x for x of [rows, n]: the upper triangle (column >= row) only.
  int (*add_gram)(ForwardSession* session, uint64_t rows, uint64_t n, const float* x, uint64_t ldx,
                  float* gram, uint64_t ldg);
  // squares[c] += sum over r of x[r, c]^2, magnitudes[c] += sum over r of |x[r, c]|, in double and
  // in the rows' order. Either may be null.
  int (*add_column_sums)(ForwardSession* session, uint64_t rows, uint64_t cols, const float* x,
                         uint64_t ldx, double* squares, double* magnitudes);
  int (*to_bf16)(ForwardSession* session, uint64_t count, const float* x, uint16_t* out);

  // RmsNormCuda, ApplyRotaryCuda, GatedActivationCuda (Activation as a number), AttentionCuda.
  int (*rms_norm)(ForwardSession* session, uint64_t rows, uint64_t cols, const float* x,
                  const float* weight, float epsilon, float* out);
  int (*rotary)(ForwardSession* session, uint64_t tokens, uint64_t heads, uint64_t head_dim,
                uint64_t rotary_dim, const float* cos, const float* sin, float* x, uint64_t stride);
  int (*gated_activation)(ForwardSession* session, int activation, uint64_t count,
                          const float* gate, const float* up, float* out);
  int (*attention)(ForwardSession* session, const AttentionShape* shape, const float* q,
                   uint64_t q_stride, const float* k, const float* v, uint64_t kv_stride,
                   float* out, uint64_t out_stride);
  // What went wrong in this thread's last call that failed.
  const char* (*last_error)();
};

}  // namespace quantized::kernels

// The module's one symbol.
extern "C" const quantized::kernels::ForwardCudaApi* quantized_forward_cuda_api();
