#include "kernels/forward_cuda/forward_cuda.h"

#include "kernels/cuda/module_file.h"

namespace quantized::kernels {
namespace {

namespace fs = std::filesystem;

constexpr const char* kModuleName = "libquantized_forward_cuda.so";
constexpr const char* kSymbol = "quantized_forward_cuda_api";

CudaStatus StatusOf(const ForwardCudaApi& api, int code) {
  if (code == kCudaOk) return {};
  return {static_cast<CudaCode>(code), api.last_error()};
}

}  // namespace

ForwardDevice::Memory ForwardDevice::Allocate(uint64_t bytes, CudaStatus& status) {
  void* memory = nullptr;
  status = StatusOf(*api_, api_->allocate(session_.get(), bytes, &memory));
  return Memory(memory, Release{api_, session_.get()});
}

CudaStatus ForwardDevice::Upload(void* to, const void* from_host, uint64_t bytes) {
  return StatusOf(*api_, api_->upload(session_.get(), to, from_host, bytes));
}
CudaStatus ForwardDevice::Download(void* to_host, const void* from, uint64_t bytes) {
  return StatusOf(*api_, api_->download(session_.get(), to_host, from, bytes));
}
CudaStatus ForwardDevice::Copy(void* to, const void* from, uint64_t bytes) {
  return StatusOf(*api_, api_->copy(session_.get(), to, from, bytes));
}
CudaStatus ForwardDevice::Zero(void* memory, uint64_t bytes) {
  return StatusOf(*api_, api_->zero(session_.get(), memory, bytes));
}
CudaStatus ForwardDevice::Wait() { return StatusOf(*api_, api_->wait(session_.get())); }

CudaStatus ForwardDevice::FillRows(size_t rows, size_t cols, const float* row, float* x,
                                   size_t stride) {
  return StatusOf(*api_, api_->fill_rows(session_.get(), rows, cols, row, x, stride));
}
CudaStatus ForwardDevice::MatMulNt(const ForwardProduct& product) {
  return StatusOf(*api_, api_->matmul_nt(session_.get(), &product));
}
CudaStatus ForwardDevice::MatMulNtBf16(const ForwardProduct& product) {
  return StatusOf(*api_, api_->matmul_nt_bf16(session_.get(), &product));
}
CudaStatus ForwardDevice::AddGram(size_t rows, size_t n, const float* x, size_t ldx, float* gram,
                                  size_t ldg) {
  return StatusOf(*api_, api_->add_gram(session_.get(), rows, n, x, ldx, gram, ldg));
}
CudaStatus ForwardDevice::AddColumnSums(size_t rows, size_t cols, const float* x, size_t ldx,
                                        double* squares, double* magnitudes) {
  return StatusOf(*api_,
                  api_->add_column_sums(session_.get(), rows, cols, x, ldx, squares, magnitudes));
}
CudaStatus ForwardDevice::ToBf16(size_t count, const float* x, uint16_t* out) {
  return StatusOf(*api_, api_->to_bf16(session_.get(), count, x, out));
}
CudaStatus ForwardDevice::RmsNorm(size_t rows, size_t cols, const float* x, const float* weight,
                                  float epsilon, float* out) {
  return StatusOf(*api_, api_->rms_norm(session_.get(), rows, cols, x, weight, epsilon, out));
}
CudaStatus ForwardDevice::ApplyRotary(size_t tokens, size_t heads, size_t head_dim,
                                      size_t rotary_dim, const float* cos, const float* sin,
                                      float* x, size_t stride) {
  return StatusOf(*api_, api_->rotary(session_.get(), tokens, heads, head_dim, rotary_dim, cos, sin,
                                      x, stride));
}
CudaStatus ForwardDevice::GatedActivation(Activation activation, size_t count, const float* gate,
                                          const float* up, float* out) {
  return StatusOf(*api_, api_->gated_activation(session_.get(), static_cast<int>(activation), count,
                                                gate, up, out));
}
CudaStatus ForwardDevice::Attention(const AttentionShape& shape, const float* q, size_t q_stride,
                                    const float* k, const float* v, size_t kv_stride, float* out,
                                    size_t out_stride) {
  return StatusOf(*api_, api_->attention(session_.get(), &shape, q, q_stride, k, v, kv_stride, out,
                                         out_stride));
}

std::optional<ForwardCudaModule> ForwardCudaModule::Open(std::string& why_not) {
  const auto file = FindModule(kModuleName, "QUANTIZED_FORWARD_CUDA_MODULE", why_not);
  return file ? OpenFile(*file, why_not) : std::nullopt;
}

std::optional<ForwardCudaModule> ForwardCudaModule::OpenFile(const fs::path& file,
                                                             std::string& why_not) {
  void* symbol = OpenModule(file, kSymbol, why_not);
  if (symbol == nullptr) return std::nullopt;
  const ForwardCudaApi* api = reinterpret_cast<decltype(&quantized_forward_cuda_api)>(symbol)();
  if (api->version != kForwardCudaApiVersion) {
    why_not = file.string() + " is of another build";
    return std::nullopt;
  }
  int count = 0;
  if (const CudaStatus status = StatusOf(*api, api->count_devices(&count)); !status.ok()) {
    why_not = status.text;
    return std::nullopt;
  }
  return ForwardCudaModule(*api, count);
}

CudaStatus ForwardCudaModule::Describe(int device, CudaDeviceInfo& info) const {
  return StatusOf(*api_, api_->describe(device, &info));
}

std::unique_ptr<ForwardDevice> ForwardCudaModule::OpenDevice(int device, CudaStatus& status) const {
  ForwardSession* session = nullptr;
  status = StatusOf(*api_, api_->open_session(device, &session));
  return status.ok() ? std::make_unique<ForwardDevice>(*api_, session) : nullptr;
}

}  // namespace quantized::kernels
