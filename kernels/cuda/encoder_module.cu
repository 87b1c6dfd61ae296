// The module behind kernels/cuda/device_api.h: a kernel for each row of DeviceTypes, and sessions.
//
// One thread encodes one block, so the order of all sums is the plain form's (EncodeOneBlock).
// Warps are spread over as many multiprocessors as there are: a slice has about a thousand blocks
// of 256.
#include <cuda_runtime.h>

#include <cstdio>
#include <cstring>
#include <new>

#include "kernels/cuda/cuda_error.h"
#include "kernels/cuda/describe_device.h"
#include "kernels/cuda/device_api.h"
#include "kernels/cuda/device_grids.h"
#include "kernels/cuda/device_types.h"
#include "kernels/cuda/encode_block.h"

namespace quantized::kernels {
namespace {

constexpr int kThreads = 32;  // of a CUDA block

template <class Row>
__global__ void __launch_bounds__(kThreads) EncodeKernel(DeviceRows rows, uint64_t blocks) {
  const uint64_t block = uint64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (block < blocks) EncodeOneBlock<Row>(rows, block);
}

__global__ void __launch_bounds__(kThreads)
    MeanSquareKernel(DeviceRows rows, uint64_t count, float* mean_squares) {
  const uint64_t row = uint64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (row < count) mean_squares[row] = MeanSquareOfRow(rows, row);
}

unsigned GridOf(uint64_t threads) {
  return static_cast<unsigned>((threads + kThreads - 1) / kThreads);
}

template <class Row>
void LaunchEncode(const DeviceRows& rows, uint64_t count, cudaStream_t stream) {
  const uint64_t blocks = count * (rows.cols / Row::Block::kValues);
  EncodeKernel<Row><<<GridOf(blocks), kThreads, 0, stream>>>(rows, blocks);
}

// A row of DeviceTypes without its types.
struct Encoder {
  TypeId id;
  uint64_t block_values, block_bytes;
  bool needs_mean_squares;
  const IqGrid& (*grid)();  // on the host; null: none
  void (*launch)(const DeviceRows& rows, uint64_t count, cudaStream_t stream);
};

template <class... Rows>
const Encoder* FindEncoder(uint32_t type, DeviceTypeList<Rows...>) {
  static constexpr Encoder kEncoders[] = {{Rows::kId, Rows::Block::kValues,
                                           sizeof(typename Rows::Block), Rows::kNeedsMeanSquares,
                                           Rows::kGrid, LaunchEncode<Rows>}...};
  for (const Encoder& encoder : kEncoders) {
    if (encoder.id == static_cast<TypeId>(type)) return &encoder;
  }
  return nullptr;
}

const Encoder* FindEncoder(uint32_t type) { return FindEncoder(type, DeviceTypes()); }

// ---- Devices

int CountDevices(int* count) {
  *count = 0;
  int driver = 0, runtime = 0;
  RETURN_IF_FAILED(cudaDriverGetVersion(&driver), "looking for a driver");
  RETURN_IF_FAILED(cudaRuntimeGetVersion(&runtime), "looking for a driver");
  if (driver == 0) return Fail(kCudaNoDriver, "looking for a driver", "there is none");
  if (driver / 1000 < runtime / 1000) {
    char why[128];
    std::snprintf(why, sizeof(why), "it is for CUDA %d.%d, and CUDA %d.%d is needed", driver / 1000,
                  driver % 1000 / 10, runtime / 1000, runtime % 1000 / 10);
    return Fail(kCudaNoDriver, "the driver is too old", why);
  }
  RETURN_IF_FAILED(cudaGetDeviceCount(count), "looking for a device");
  return *count > 0 ? kCudaOk : Fail(kCudaNoDevice, "looking for a device", "there is none");
}

int Describe(int device, CudaDeviceInfo* info) {
  return DescribeDevice(device, MeanSquareKernel, "loading the encoders", info);
}

int Encodes(uint32_t type) { return FindEncoder(type) != nullptr ? 1 : 0; }

// ---- Sessions

// Where things are in a session's memory, which looks the same on the device and on the host.
struct Layout {
  explicit Layout(const CudaSessionSizes& sizes) {
    uint64_t end = 0;
    const auto place = [&end](uint64_t bytes) {
      const uint64_t begin = end;
      end = (end + bytes + 255) / 256 * 256;
      return begin;
    };
    source = place(sizes.source_bytes);
    importance = place(sizes.cols * sizeof(float));
    mean_squares = place(sizes.rows * sizeof(float));
    encoded = place(sizes.encoded_bytes);
    bytes = end;
  }
  uint64_t source, importance, mean_squares, encoded, bytes;
};

uint64_t SessionBytes(const CudaSessionSizes* sizes) { return Layout(*sizes).bytes; }

}  // namespace

struct CudaSession {
  explicit CudaSession(const CudaSessionSizes& session_sizes)
      : sizes(session_sizes), at(session_sizes) {}
  ~CudaSession() {
    if (stream != nullptr) cudaStreamSynchronize(stream);
    cudaFree(on_device);
    cudaFreeHost(on_host);
    if (done != nullptr) cudaEventDestroy(done);
    if (stream != nullptr) cudaStreamDestroy(stream);
    cudaGetLastError();
  }

  const CudaSessionSizes sizes;
  const Layout at;
  int device = 0;
  cudaStream_t stream = nullptr;
  cudaEvent_t done = nullptr;  // whoever waits for it leaves the processor to others
  std::byte* on_device = nullptr;
  std::byte* on_host = nullptr;  // pinned
  TypeId source_type = TypeId::kF32;
  uint64_t source_bytes = 0;
  bool is_uploaded = false;
};

namespace {

int Open(CudaSession& session, int device) {
  session.device = device;
  RETURN_IF_FAILED(cudaSetDevice(device), "opening the device");
  RETURN_IF_FAILED(cudaStreamCreateWithFlags(&session.stream, cudaStreamNonBlocking),
                   "making a stream");
  RETURN_IF_FAILED(
      cudaEventCreateWithFlags(&session.done, cudaEventBlockingSync | cudaEventDisableTiming),
      "making an event");
  RETURN_IF_FAILED(cudaMalloc(&session.on_device, session.at.bytes), "allocating device memory");
  const cudaError_t pinned = cudaMallocHost(&session.on_host, session.at.bytes);
  if (pinned == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    return Fail(kCudaOutOfHostMemory, "allocating pinned memory", cudaGetErrorString(pinned));
  }
  return Check(pinned, "allocating pinned memory");
}

int OpenSession(int device, const CudaSessionSizes* sizes, CudaSession** opened) {
  *opened = nullptr;
  auto* session = new (std::nothrow) CudaSession(*sizes);
  if (session == nullptr) return Fail(kCudaOutOfHostMemory, "opening a session", "out of memory");
  const int code = Open(*session, device);
  if (code == kCudaOk) {
    *opened = session;
  } else {
    delete session;
  }
  return code;
}

void CloseSession(CudaSession* session) {
  if (session == nullptr) return;
  cudaSetDevice(session->device);
  delete session;
}

// Uploading is left to the first Encode, which waits for it: so the pinned memory is never written
// while the device reads it.
int Load(CudaSession* session, const void* source, uint32_t source_type, uint64_t bytes) {
  if (bytes > session->sizes.source_bytes) {
    return Fail(kCudaFailed, "loading a slice", "it is larger than the session");
  }
  std::memcpy(session->on_host + session->at.source, source, bytes);
  session->source_type = static_cast<TypeId>(source_type);
  session->source_bytes = bytes;
  session->is_uploaded = false;
  return kCudaOk;
}

cudaError_t Upload(const CudaSession& session, uint64_t at, uint64_t bytes) {
  return cudaMemcpyAsync(session.on_device + at, session.on_host + at, bytes,
                         cudaMemcpyHostToDevice, session.stream);
}

uint64_t ValueBytes(TypeId type) { return type == TypeId::kF32 ? 4 : 2; }

// The contract of `encode`, against a caller's mistakes.
const char* WhyNotEncodable(const CudaSession& session, const Encoder* encoder,
                            const CudaEncodeArguments& arguments) {
  if (encoder == nullptr) return "the module has no such type";
  if (arguments.cols == 0 || arguments.cols % encoder->block_values != 0) {
    return "rows are not whole blocks";
  }
  const uint64_t end = (arguments.first_row + arguments.rows) * arguments.cols;
  if (end * ValueBytes(session.source_type) > session.source_bytes) {
    return "rows beyond the loaded slice";
  }
  const uint64_t blocks = arguments.rows * (arguments.cols / encoder->block_values);
  if (arguments.rows > session.sizes.rows || arguments.cols > session.sizes.cols ||
      blocks * encoder->block_bytes > session.sizes.encoded_bytes) {
    return "more than the session has room for";
  }
  return nullptr;
}

int Encode(CudaSession* session, const CudaEncodeArguments* arguments) {
  const Encoder* encoder = FindEncoder(arguments->type);
  if (const char* why = WhyNotEncodable(*session, encoder, *arguments)) {
    return Fail(kCudaFailed, "encoding", why);
  }
  const Layout& at = session->at;
  RETURN_IF_FAILED(cudaSetDevice(session->device), "opening the device");
  if (!session->is_uploaded) {
    RETURN_IF_FAILED(Upload(*session, at.source, session->source_bytes), "copying to the device");
    session->is_uploaded = true;
  }
  const uint64_t first = arguments->first_row * arguments->cols;
  DeviceRows rows = {
      .source = session->on_device + at.source + first * ValueBytes(session->source_type),
      .source_type = session->source_type,
      .cols = arguments->cols,
      .importance = nullptr,
      .mean_squares = nullptr,
      .grid = {},
      .out = session->on_device + at.encoded};
  if (encoder->grid != nullptr) {
    const int code = FindGridOnDevice(session->device, encoder->grid(), &rows.grid);
    if (code != kCudaOk) return code;
  }
  if (arguments->importance != nullptr) {
    const uint64_t bytes = arguments->cols * sizeof(float);
    std::memcpy(session->on_host + at.importance, arguments->importance, bytes);
    RETURN_IF_FAILED(Upload(*session, at.importance, bytes), "copying to the device");
    rows.importance = reinterpret_cast<const float*>(session->on_device + at.importance);
    if (encoder->needs_mean_squares) {
      float* mean_squares = reinterpret_cast<float*>(session->on_device + at.mean_squares);
      MeanSquareKernel<<<GridOf(arguments->rows), kThreads, 0, session->stream>>>(
          rows, arguments->rows, mean_squares);
      rows.mean_squares = mean_squares;
    }
  }
  encoder->launch(rows, arguments->rows, session->stream);
  RETURN_IF_FAILED(cudaGetLastError(), "starting an encoder");
  const uint64_t encoded_bytes =
      arguments->rows * (arguments->cols / encoder->block_values) * encoder->block_bytes;
  RETURN_IF_FAILED(cudaMemcpyAsync(session->on_host + at.encoded, session->on_device + at.encoded,
                                   encoded_bytes, cudaMemcpyDeviceToHost, session->stream),
                   "copying from the device");
  RETURN_IF_FAILED(cudaEventRecord(session->done, session->stream), "waiting for the device");
  RETURN_IF_FAILED(cudaEventSynchronize(session->done), "waiting for the device");
  std::memcpy(arguments->encoded, session->on_host + at.encoded, encoded_bytes);
  return kCudaOk;
}

const char* LastError() { return last_cuda_error; }

constexpr CudaApi kApi = {.version = kCudaApiVersion,
                          .count_devices = CountDevices,
                          .describe = Describe,
                          .encodes = Encodes,
                          .session_bytes = SessionBytes,
                          .open_session = OpenSession,
                          .load = Load,
                          .encode = Encode,
                          .close_session = CloseSession,
                          .last_error = LastError};

}  // namespace
}  // namespace quantized::kernels

extern "C" __attribute__((visibility("default"))) const quantized::kernels::CudaApi*
quantized_cuda_api() {
  return &quantized::kernels::kApi;
}
