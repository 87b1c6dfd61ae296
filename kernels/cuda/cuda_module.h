// The CUDA devices of this machine, through a module that is opened at run time
// (kernels/cuda/device_api.h). Where module, driver or device are missing, opening says which.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "kernels/cuda/device_api.h"
#include "kernels/types/quant_type.h"

namespace quantized::kernels {

struct CudaStatus {
  CudaCode code = kCudaOk;
  std::string text;  // what went wrong, for people
  bool ok() const { return code == kCudaOk; }
};

// Encodes rows on a device, with a stream and buffers of its own: several work at once, each for
// one thread at a time. Gives the bytes of EncodeRows (kernels/codecs/codec.h) but for blocks that
// `is_finite` refuses: those are refused, too, whatever their bytes.
class CudaEncoder {
 public:
  CudaEncoder(const CudaApi& api, CudaSession* session)
      : api_(&api), session_(session, Close{&api}) {}

  // Takes `bytes` bytes of values of type F32, F16 or BF16, which the next calls of Encode are
  // about.
  CudaStatus Load(const void* source, TypeId source_type, uint64_t bytes);
  // Returns when the bytes are at arguments.encoded.
  CudaStatus Encode(const CudaEncodeArguments& arguments);

 private:
  struct Close {
    const CudaApi* api;
    void operator()(CudaSession* session) const { api->close_session(session); }
  };

  const CudaApi* api_;
  std::unique_ptr<CudaSession, Close> session_;
};

// A value; all copies are the same module, which stays open until the process ends, because the
// CUDA runtime does not survive being unloaded. Thread-safe.
class CudaModule {
 public:
  // The module beside the running program, or in the lib folder beside the program's; or the file
  // that QUANTIZED_CUDA_MODULE names, which is for tests. Nothing where module, driver or device
  // are missing; `why_not` then says which.
  static std::optional<CudaModule> Open(std::string& why_not);
  static std::optional<CudaModule> OpenFile(const std::filesystem::path& file,
                                            std::string& why_not);

  int device_count() const { return device_count_; }  // at least 1
  // Whether it encodes this type; others are left to the processor.
  bool Encodes(TypeId type) const { return api_->encodes(static_cast<uint32_t>(type)) != 0; }
  // Makes the device ready. Fails for one that the module has no code for.
  CudaStatus Describe(int device, CudaDeviceInfo& info) const;
  // Device memory of one encoder.
  uint64_t EncoderBytes(const CudaSessionSizes& sizes) const { return api_->session_bytes(&sizes); }
  // Null where `status` says why.
  std::unique_ptr<CudaEncoder> OpenEncoder(int device, const CudaSessionSizes& sizes,
                                           CudaStatus& status) const;

 private:
  CudaModule(const CudaApi& api, int device_count) : api_(&api), device_count_(device_count) {}

  const CudaApi* api_;
  int device_count_;
};

}  // namespace quantized::kernels
