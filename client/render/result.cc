#include "client/render/result.h"

#include <cmath>

namespace quantized {

std::string_view OperationOf(const v1::JobSpec& spec) {
  if (!spec.has_quantize()) return "noop";
  return spec.quantize().has_conversion() ? "convert" : "quantize";
}

const std::string& MainFileOf(const v1::QuantizeResult& result) {
  return result.files().empty() ? result.output_path() : result.files(0);
}

uint64_t PeakMemoryOf(const v1::QuantizeResult& result) {
  return result.peak_memory_bytes() + result.device_memory_bytes();
}

std::optional<double> RelativeErrorOf(const v1::QuantizeResult& result) {
  if (result.fidelity() == "exact") return 0;
  if (!result.has_mean_module_error()) return std::nullopt;
  return std::sqrt(result.mean_module_error());
}

}  // namespace quantized
