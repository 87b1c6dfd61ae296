#include "client/render/result.h"

namespace quantized {

const std::string& MainFileOf(const v1::QuantizeResult& result) {
  return result.files().empty() ? result.output_path() : result.files(0);
}

uint64_t PeakMemoryOf(const v1::QuantizeResult& result) {
  return result.peak_memory_bytes() + result.device_memory_bytes();
}

}  // namespace quantized
