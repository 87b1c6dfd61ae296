// For the modules' own sources: what a device says of itself.
#pragma once

#include <cuda_runtime.h>

#include <cstdio>

#include "kernels/cuda/cuda_error.h"
#include "kernels/cuda/device_api.h"

namespace quantized::kernels {

// Makes the device ready, with the module's code, of which `kernel` is a part: a device that the
// module was not built for is found here, while `loading`.
template <class Kernel>
int DescribeDevice(int device, Kernel* kernel, const char* loading, CudaDeviceInfo* info) {
  RETURN_IF_FAILED(cudaSetDevice(device), "opening the device");
  cudaDeviceProp properties;
  RETURN_IF_FAILED(cudaGetDeviceProperties(&properties, device), "asking for the device's name");
  std::snprintf(info->name, sizeof(info->name), "%s", properties.name);
  cudaFuncAttributes attributes;
  RETURN_IF_FAILED(cudaFuncGetAttributes(&attributes, kernel), loading);
  size_t free_bytes = 0, total_bytes = 0;
  RETURN_IF_FAILED(cudaMemGetInfo(&free_bytes, &total_bytes), "asking for the device's memory");
  info->free_bytes = free_bytes;
  info->total_bytes = total_bytes;
  return kCudaOk;
}

}  // namespace quantized::kernels
