// The C table through which programs use the CUDA module (libquantized_cuda.so), which they open at
// run time: nothing links it, and a program starts where there is neither driver nor device.
// Plain C types only. No function throws. All but `encodes` may wait for the device.
#pragma once

#include <cstdint>

namespace quantized::kernels {

// Raised with every change of the table: module and program come from one build.
inline constexpr uint32_t kCudaApiVersion = 1;

enum CudaCode : int {
  kCudaOk = 0,
  kCudaNoDriver = 1,         // or one that is older than the module
  kCudaNoDevice = 2,         // none, or none of this number
  kCudaUnsupported = 3,      // the module has no code for a device so old
  kCudaOutOfMemory = 4,      // of the device
  kCudaOutOfHostMemory = 5,  // pinned memory of the machine
  kCudaFailed = 6,           // anything else; the device is of no use any more
};

struct CudaDeviceInfo {
  char name[256];  // "NVIDIA H100 80GB HBM3"
  uint64_t total_bytes, free_bytes;
};

// What a session must be able to hold.
struct CudaSessionSizes {
  uint64_t source_bytes;   // of a slice as it is loaded
  uint64_t encoded_bytes;  // of a slice as it is encoded
  uint64_t rows, cols;     // of a slice: the most of each
};

// A stream of a device, with buffers there and pinned ones here. One thread at a time.
struct CudaSession;

// `rows` rows of `cols` values from row `first_row` of the loaded slice on.
struct CudaEncodeArguments {
  uint32_t type;  // id in GGUF; `encodes` it
  uint64_t first_row, rows, cols;
  const float* importance;  // `cols` weights, or null (kernels/codecs/codec.h, EncodeRows)
  void* encoded;            // receives the bytes
};

struct CudaApi {
  uint32_t version;
  // How many devices CUDA_VISIBLE_DEVICES leaves. kCudaNoDriver, kCudaNoDevice (then 0).
  int (*count_devices)(int* count);
  int (*describe)(int device, CudaDeviceInfo* info);
  // Whether the module has an encoder for the type.
  int (*encodes)(uint32_t type);
  // Device memory that open_session takes.
  uint64_t (*session_bytes)(const CudaSessionSizes* sizes);
  int (*open_session)(int device, const CudaSessionSizes* sizes, CudaSession** session);
  // Takes a slice of values of type F32, F16 or BF16 (id in GGUF), which the next calls of encode
  // are about; copies them before it returns.
  int (*load)(CudaSession* session, const void* source, uint32_t source_type, uint64_t bytes);
  // Returns when the bytes are there.
  int (*encode)(CudaSession* session, const CudaEncodeArguments* arguments);
  void (*close_session)(CudaSession* session);  // null: nothing
  // What went wrong in this thread's last call that failed.
  const char* (*last_error)();
};

}  // namespace quantized::kernels

// The module's one symbol.
extern "C" const quantized::kernels::CudaApi* quantized_cuda_api();
