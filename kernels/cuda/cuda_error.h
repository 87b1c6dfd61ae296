// For the module's own sources: errors of the CUDA runtime as codes of kernels/cuda/device_api.h,
// with what went wrong kept for the calling thread.
#pragma once

#include <cuda_runtime.h>

#include <cstdio>

#include "kernels/cuda/device_api.h"

namespace quantized::kernels {

inline thread_local char last_cuda_error[512];

// Keeps "WHAT: WHY" and returns `code`.
inline int Fail(CudaCode code, const char* what, const char* why) {
  std::snprintf(last_cuda_error, sizeof(last_cuda_error), "%s: %s", what, why);
  return code;
}

inline CudaCode CodeOf(cudaError_t error) {
  switch (error) {
    case cudaErrorInsufficientDriver:  // also where there is none
    case cudaErrorStubLibrary:
    case cudaErrorInitializationError:
    case cudaErrorSystemDriverMismatch:
      return kCudaNoDriver;
    case cudaErrorNoDevice:
    case cudaErrorInvalidDevice:
    case cudaErrorDevicesUnavailable:
      return kCudaNoDevice;
    case cudaErrorNoKernelImageForDevice:
    case cudaErrorInvalidDeviceFunction:
    case cudaErrorUnsupportedPtxVersion:
      return kCudaUnsupported;
    case cudaErrorMemoryAllocation:
      return kCudaOutOfMemory;
    default:
      return kCudaFailed;
  }
}

// kCudaOk, or the code of `error` with what was done and the runtime's own words.
inline int Check(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return kCudaOk;
  cudaGetLastError();  // what is not sticky is told once
  return Fail(CodeOf(error), what, cudaGetErrorString(error));
}

}  // namespace quantized::kernels

#define RETURN_IF_FAILED(call, what)                                                   \
  if (const int code = ::quantized::kernels::Check((call), (what)); code != kCudaOk) { \
    return code;                                                                       \
  }
