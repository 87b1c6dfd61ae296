// A CUDA module without CUDA: the code of the kernels on the processor, behind the same table. With
// QUANTIZED_CUDA_MODULE naming it, everything above the module can be tested without a device.
// QUANTIZED_FAKE_CUDA_MEMORY: bytes of its device (1 GB); QUANTIZED_FAKE_CUDA_ENCODES: so many
// calls of encode succeed.
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "kernels/cuda/device_api.h"
#include "kernels/cuda/device_types.h"
#include "kernels/cuda/encode_block.h"
#include "tests/support/fake_cuda_device.h"

namespace quantized::kernels {

struct CudaSession {
  CudaSessionSizes sizes;
  std::vector<std::byte> source;
  TypeId source_type;
};

namespace {

FakeMemory memory_of_devices("QUANTIZED_FAKE_CUDA_MEMORY");
std::atomic<uint64_t> encodes{0};

int Describe(int device, CudaDeviceInfo* info) { return memory_of_devices.Describe(device, info); }

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
  if (const int code = FindFakeDevice(device); code != kCudaOk) return code;
  const uint64_t bytes = SessionBytes(sizes);
  if (!memory_of_devices.Take(bytes)) return Fail(kCudaOutOfMemory, "out of memory");
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
  if (session != nullptr) memory_of_devices.Give(SessionBytes(&session->sizes));
  delete session;
}

constexpr CudaApi kApi = {.version = kCudaApiVersion,
                          .count_devices = CountFakeDevices,
                          .describe = Describe,
                          .encodes = Encodes,
                          .session_bytes = SessionBytes,
                          .open_session = OpenSession,
                          .load = Load,
                          .encode = Encode,
                          .close_session = CloseSession,
                          .last_error = LastFakeError};

}  // namespace
}  // namespace quantized::kernels

extern "C" const quantized::kernels::CudaApi* quantized_cuda_api() {
  return &quantized::kernels::kApi;
}
