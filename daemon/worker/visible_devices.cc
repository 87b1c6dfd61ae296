#include "daemon/worker/visible_devices.h"

#include <cstdlib>

#include "core/base/check.h"

namespace quantized {

void UseDevicesOfClient(const v1::JobSpec& spec) {
  const v1::QuantizeSpec& quantize = spec.quantize();
  if (!quantize.has_cuda_visible_devices()) return;
  CHECK(setenv("CUDA_VISIBLE_DEVICES", quantize.cuda_visible_devices().c_str(), 1) == 0);
}

}  // namespace quantized
