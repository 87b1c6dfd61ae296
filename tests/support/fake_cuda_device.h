// What the stand-ins for CUDA modules have in common: two devices, which are the processor with a
// limit on memory, and settings in variables that are read anew at each call. A module's own state:
// for one source of each.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "kernels/cuda/device_api.h"

namespace quantized::kernels {

inline constexpr int kFakeDevices = 2;

inline uint64_t Setting(const char* name, uint64_t otherwise) {
  const char* value = std::getenv(name);
  return value != nullptr ? std::strtoull(value, nullptr, 10) : otherwise;
}

inline thread_local const char* last_fake_error = "";
inline const char* LastFakeError() { return last_fake_error; }

inline int Fail(CudaCode code, const char* why) {
  last_fake_error = why;
  return code;
}

inline int CountFakeDevices(int* count) {
  *count = kFakeDevices;
  return kCudaOk;
}

inline int FindFakeDevice(int device) {
  return device < kFakeDevices ? kCudaOk : Fail(kCudaNoDevice, "invalid device ordinal");
}

// 1 GB, or the bytes that the variable `setting` tells.
class FakeMemory {
 public:
  explicit FakeMemory(const char* setting) : setting_(setting) {}

  uint64_t total_bytes() const { return Setting(setting_, 1'000'000'000); }
  // False where they are not free.
  bool Take(uint64_t bytes) {
    if (used_bytes_.fetch_add(bytes) + bytes <= total_bytes()) return true;
    used_bytes_ -= bytes;
    return false;
  }
  void Give(uint64_t bytes) { used_bytes_ -= bytes; }

  int Describe(int device, CudaDeviceInfo* info) const {
    if (const int code = FindFakeDevice(device); code != kCudaOk) return code;
    std::snprintf(info->name, sizeof(info->name), "Processor");
    info->total_bytes = total_bytes();
    info->free_bytes = info->total_bytes - used_bytes_;
    return kCudaOk;
  }

 private:
  const char* const setting_;
  std::atomic<uint64_t> used_bytes_{0};
};

}  // namespace quantized::kernels
