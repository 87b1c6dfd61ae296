#include "kernels/cuda/device_grids.h"

#include <map>
#include <mutex>
#include <utility>

#include "kernels/cuda/cuda_error.h"

namespace quantized::kernels {
namespace {

template <class T>
int CopyArray(const T* from, int count, const T** to) {
  void* memory = nullptr;
  const size_t bytes = static_cast<size_t>(count) * sizeof(T);
  RETURN_IF_FAILED(cudaMalloc(&memory, bytes), "allocating device memory");
  *to = static_cast<const T*>(memory);
  return Check(cudaMemcpy(memory, from, bytes, cudaMemcpyHostToDevice), "copying to the device");
}

int CopyGrid(const IqGrid& host, IqGrid& device) {
  device = host;
  int code = CopyArray(host.digits, host.size, &device.digits);
  if (code == kCudaOk) code = CopyArray(host.map, host.map_size, &device.map);
  if (code == kCudaOk) code = CopyArray(host.lists, host.lists_size, &device.lists);
  return code;
}

// By device and grid of the host. Never freed: the driver does that when the process ends.
struct Copies {
  std::mutex mutex;
  std::map<std::pair<int, const IqGrid*>, IqGrid> grids;
};

Copies& AllCopies() {
  static Copies copies;
  return copies;
}

}  // namespace

int FindGridOnDevice(int device, const IqGrid& host, IqGrid* grid) {
  Copies& copies = AllCopies();
  const std::lock_guard lock(copies.mutex);
  const std::pair key(device, &host);
  auto copy = copies.grids.find(key);
  if (copy == copies.grids.end()) {
    IqGrid made;
    if (const int code = CopyGrid(host, made); code != kCudaOk) return code;
    copy = copies.grids.emplace(key, made).first;
  }
  *grid = copy->second;
  return kCudaOk;
}

}  // namespace quantized::kernels
