// A CUDA module without CUDA: the code of the kernels on the processor, behind the same table. With
// QUANTIZED_CUDA_MODULE naming it, everything above the module can be tested without a device.
// QUANTIZED_FAKE_CUDA_MEMORY: bytes of its device (1 GB); QUANTIZED_FAKE_CUDA_ENCODES: so many
// calls of encode succeed.
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "kernels/cuda/device_api.h"
#include "kernels/cuda/device_types.h"
#include "kernels/cuda/encode_block.h"

namespace quantized::kernels {

struct CudaSession {
  CudaSessionSizes sizes;
  std::vector<std::byte> source;
  TypeId source_type;
};

namespace {

uint64_t Setting(const char* name, uint64_t otherwise) {
  const char* value = std::getenv(name);
  return value != nullptr ? std::strtoull(value, nullptr, 10) : otherwise;
}

uint64_t MemoryBytes() { return Setting("QUANTIZED_FAKE_CUDA_MEMORY", 1'000'000'000); }

std::atomic<uint64_t> used_bytes{0}, encodes{0};
thread_local const char* last_error = "";

int Fail(CudaCode code, const char* why) {
  last_error = why;
  return code;
}

int CountDevices(int* count) {
  *count = 2;
  return kCudaOk;
}

int Describe(int device, CudaDeviceInfo* info) {
  if (device >= 2) return Fail(kCudaNoDevice, "invalid device ordinal");
  std::snprintf(info->name, sizeof(info->name), "Processor");
  info->total_bytes = MemoryBytes();
  info->free_bytes = info->total_bytes - used_bytes;
  return kCudaOk;
}

template <class Row>
void EncodeAll(DeviceRows rows, uint64_t blocks) {
  if constexpr (Row::kHasGrid) rows.grid = Row::kGrid();
  for (uint64_t block = 0; block < blocks; ++block) EncodeOneBlock<Row>(rows, block);
}

struct Encoder {
  TypeId id;
  uint64_t block_values;
  void (*encode)(DeviceRows rows, uint64_t blocks);
};

template <class... Rows>
const Encoder* FindEncoder(uint32_t type, DeviceTypeList<Rows...>) {
  static constexpr Encoder kEncoders[] = {{Rows::kId, Rows::Block::kValues, EncodeAll<Rows>}...};
  for (const Encoder& encoder : kEncoders) {
    if (encoder.id == static_cast<TypeId>(type)) return &encoder;
  }
  return nullptr;
}

int Encodes(uint32_t type) { return FindEncoder(type, DeviceTypes()) != nullptr ? 1 : 0; }

uint64_t SessionBytes(const CudaSessionSizes* sizes) {
  return sizes->source_bytes + sizes->encoded_bytes + (sizes->rows + sizes->cols) * sizeof(float);
}

int OpenSession(int device, const CudaSessionSizes* sizes, CudaSession** session) {
  if (device >= 2) return Fail(kCudaNoDevice, "invalid device ordinal");
  const uint64_t bytes = SessionBytes(sizes);
  if (used_bytes.fetch_add(bytes) + bytes > MemoryBytes()) {
    used_bytes -= bytes;
    return Fail(kCudaOutOfMemory, "out of memory");
  }
  *session = new CudaSession{*sizes, {}, TypeId::kF32};
  return kCudaOk;
}

int Load(CudaSession* session, const void* source, uint32_t source_type, uint64_t bytes) {
  if (bytes > session->sizes.source_bytes) return Fail(kCudaFailed, "larger than the session");
  const auto* begin = static_cast<const std::byte*>(source);
  session->source.assign(begin, begin + bytes);
  session->source_type = static_cast<TypeId>(source_type);
  return kCudaOk;
}

int Encode(CudaSession* session, const CudaEncodeArguments* arguments) {
  const Encoder* encoder = FindEncoder(arguments->type, DeviceTypes());
  const uint64_t value_bytes = session->source_type == TypeId::kF32 ? 4 : 2;
  const uint64_t end = (arguments->first_row + arguments->rows) * arguments->cols * value_bytes;
  if (encoder == nullptr || end > session->source.size() || arguments->rows > session->sizes.rows ||
      arguments->cols > session->sizes.cols) {
    return Fail(kCudaFailed, "more than was loaded");
  }
  if (encodes++ >= Setting("QUANTIZED_FAKE_CUDA_ENCODES", UINT64_MAX)) {
    return Fail(kCudaFailed, "waiting for the device: unspecified launch failure");
  }
  std::vector<float> mean_squares(arguments->rows);
  DeviceRows rows = {
      .source = session->source.data() + arguments->first_row * arguments->cols * value_bytes,
      .source_type = session->source_type,
      .cols = arguments->cols,
      .importance = arguments->importance,
      .mean_squares = mean_squares.data(),
      .grid = {},
      .out = static_cast<std::byte*>(arguments->encoded)};
  for (uint64_t r = 0; r < arguments->rows; ++r) mean_squares[r] = MeanSquareOfRow(rows, r);
  encoder->encode(rows, arguments->rows * (arguments->cols / encoder->block_values));
  return kCudaOk;
}

void CloseSession(CudaSession* session) {
  if (session != nullptr) used_bytes -= SessionBytes(&session->sizes);
  delete session;
}

const char* LastError() { return last_error; }

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

extern "C" const quantized::kernels::CudaApi* quantized_cuda_api() {
  return &quantized::kernels::kApi;
}
