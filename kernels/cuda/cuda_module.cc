#include "kernels/cuda/cuda_module.h"

#include "kernels/cuda/module_file.h"

namespace quantized::kernels {
namespace {

namespace fs = std::filesystem;

constexpr const char* kModuleName = "libquantized_cuda.so";
constexpr const char* kSymbol = "quantized_cuda_api";

CudaStatus StatusOf(const CudaApi& api, int code) {
  if (code == kCudaOk) return {};
  return {static_cast<CudaCode>(code), api.last_error()};
}

}  // namespace

CudaStatus CudaEncoder::Load(const void* source, TypeId source_type, uint64_t bytes) {
  return StatusOf(*api_,
                  api_->load(session_.get(), source, static_cast<uint32_t>(source_type), bytes));
}

CudaStatus CudaEncoder::Encode(const CudaEncodeArguments& arguments) {
  return StatusOf(*api_, api_->encode(session_.get(), &arguments));
}

std::optional<CudaModule> CudaModule::Open(std::string& why_not) {
  const auto file = FindModule(kModuleName, "QUANTIZED_CUDA_MODULE", why_not);
  return file ? OpenFile(*file, why_not) : std::nullopt;
}

std::optional<CudaModule> CudaModule::OpenFile(const fs::path& file, std::string& why_not) {
  void* symbol = OpenModule(file, kSymbol, why_not);
  if (symbol == nullptr) return std::nullopt;
  const CudaApi* api = reinterpret_cast<decltype(&quantized_cuda_api)>(symbol)();
  if (api->version != kCudaApiVersion) {
    why_not = file.string() + " is of another build";
    return std::nullopt;
  }
  int count = 0;
  if (const CudaStatus status = StatusOf(*api, api->count_devices(&count)); !status.ok()) {
    why_not = status.text;
    return std::nullopt;
  }
  return CudaModule(*api, count);
}

CudaStatus CudaModule::Describe(int device, CudaDeviceInfo& info) const {
  return StatusOf(*api_, api_->describe(device, &info));
}

std::unique_ptr<CudaEncoder> CudaModule::OpenEncoder(int device, const CudaSessionSizes& sizes,
                                                     CudaStatus& status) const {
  CudaSession* session = nullptr;
  status = StatusOf(*api_, api_->open_session(device, &sizes, &session));
  return status.ok() ? std::make_unique<CudaEncoder>(*api_, session) : nullptr;
}

}  // namespace quantized::kernels
