// A forward pass's kernels on a CUDA device, through a module that is opened at run time
// (kernels/forward_cuda/forward_api.h, which has the contracts). Where module, cuBLAS, driver or
// device are missing, opening says which.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "kernels/attention/attention.h"
#include "kernels/cuda/cuda_module.h"
#include "kernels/forward_cuda/forward_api.h"
#include "kernels/gated_activation/gated_activation.h"

namespace quantized::kernels {

// One device's stream and memory. One thread at a time. Errors of the device are sticky: after
// kCudaFailed it is of no use any more.
class ForwardDevice {
 public:
  ForwardDevice(const ForwardCudaApi& api, ForwardSession* session)
      : api_(&api), session_(session, Close{&api}) {}

  // Memory of the device, given back at its end; must not outlive the ForwardDevice.
  struct Release {
    const ForwardCudaApi* api = nullptr;
    ForwardSession* session = nullptr;
    void operator()(void* memory) const { api->release(session, memory); }
  };
  using Memory = std::unique_ptr<void, Release>;
  // Null where `status` says why.
  Memory Allocate(uint64_t bytes, CudaStatus& status);

  CudaStatus Upload(void* to, const void* from_host, uint64_t bytes);
  CudaStatus Download(void* to_host, const void* from, uint64_t bytes);  // waits
  CudaStatus Copy(void* to, const void* from, uint64_t bytes);
  CudaStatus Zero(void* memory, uint64_t bytes);
  CudaStatus Wait();

  CudaStatus FillRows(size_t rows, size_t cols, const float* row, float* x, size_t stride);
  CudaStatus MatMulNt(const ForwardProduct& product);
  CudaStatus MatMulNtBf16(const ForwardProduct& product);
  CudaStatus AddGram(size_t rows, size_t n, const float* x, size_t ldx, float* gram, size_t ldg);
  CudaStatus AddColumnSums(size_t rows, size_t cols, const float* x, size_t ldx, double* squares,
                           double* magnitudes);
  CudaStatus ToBf16(size_t count, const float* x, uint16_t* out);
  CudaStatus RmsNorm(size_t rows, size_t cols, const float* x, const float* weight, float epsilon,
                     float* out);
  CudaStatus ApplyRotary(size_t tokens, size_t heads, size_t head_dim, size_t rotary_dim,
                         const float* cos, const float* sin, float* x, size_t stride);
  CudaStatus GatedActivation(Activation activation, size_t count, const float* gate,
                             const float* up, float* out);
  CudaStatus Attention(const AttentionShape& shape, const float* q, size_t q_stride, const float* k,
                       const float* v, size_t kv_stride, float* out, size_t out_stride);

 private:
  struct Close {
    const ForwardCudaApi* api;
    void operator()(ForwardSession* session) const { api->close_session(session); }
  };

  const ForwardCudaApi* api_;
  std::unique_ptr<ForwardSession, Close> session_;
};

// A value; all copies are the same module, which stays open until the process ends. Thread-safe.
class ForwardCudaModule {
 public:
  // The module beside the running program, or in the lib folder beside the program's; or the file
  // that QUANTIZED_FORWARD_CUDA_MODULE names, which is for tests. Nothing where something is
  // missing; `why_not` then says what, as "libcublas.so.13: cannot open shared object file".
  static std::optional<ForwardCudaModule> Open(std::string& why_not);
  static std::optional<ForwardCudaModule> OpenFile(const std::filesystem::path& file,
                                                   std::string& why_not);

  int device_count() const { return device_count_; }  // at least 1
  // Makes the device ready.
  CudaStatus Describe(int device, CudaDeviceInfo& info) const;
  // Null where `status` says why.
  std::unique_ptr<ForwardDevice> OpenDevice(int device, CudaStatus& status) const;

 private:
  ForwardCudaModule(const ForwardCudaApi& api, int device_count)
      : api_(&api), device_count_(device_count) {}

  const ForwardCudaApi* api_;
  int device_count_;
};

}  // namespace quantized::kernels
