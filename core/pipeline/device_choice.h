// The word of --device and the CUDA device that it means: for encoding (encode_device.h) and for
// running the model on text (walk_device.h), each with a module of its own. What may be missing,
// and what follows: docs/design/cuda.md.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/base/job_context.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "kernels/cuda/cuda_module.h"

namespace quantized {

struct DeviceWord {
  bool is_cpu = false;
  std::optional<int> number;  // of the device that was asked for; none for "auto"
};
// "auto" (a device where one can be used, else the processor; empty is the same), "cpu", "cuda"
// (the first device) or "cuda:N" (of those that CUDA_VISIBLE_DEVICES leaves). Errors:
// kInvalidArgument.
absl::StatusOr<DeviceWord> ParseDevice(std::string_view wanted);

// kInvalidArgument: "device cuda:0 cannot be used: WHY".
absl::Status UnusableDevice(int number, std::string_view why);

// Module: kernels::CudaModule or kernels::ForwardCudaModule.
template <class Module>
struct ChosenDevice {
  Module module;
  int number = 0;
  bool is_demanded = false;  // by the user: the processor must not take over
  std::string name;          // "cuda:0 NVIDIA H100 80GB HBM3"
};

// Nothing for the processor. Tells `progress` of a device that is there and cannot be used. Errors:
// kInvalidArgument for another word, and where a device was asked for and cannot be used, with the
// reason.
template <class Module>
absl::StatusOr<std::optional<ChosenDevice<Module>>> ChooseDevice(std::string_view wanted,
                                                                 ProgressSink& progress) {
  ASSIGN_OR_RETURN(const DeviceWord word, ParseDevice(wanted));
  if (word.is_cpu) return std::nullopt;
  const int number = word.number.value_or(0);
  std::string why_not;
  const std::optional<Module> module = Module::Open(why_not);
  if (!module) {
    if (word.number) return UnusableDevice(number, why_not);
    return std::nullopt;
  }
  if (number >= module->device_count()) {
    return UnusableDevice(number,
                          StrCat("the devices are cuda:0 to cuda:", module->device_count() - 1));
  }
  kernels::CudaDeviceInfo info;
  const kernels::CudaStatus status = module->Describe(number, info);
  if (status.ok()) {
    return ChosenDevice<Module>{*module, number, word.number.has_value(),
                                StrCat("cuda:", number, " ", info.name)};
  }
  if (word.number) return UnusableDevice(number, status.text);
  progress.OnWarning(StrCat("cuda:", number, " cannot be used: ", status.text));
  return std::nullopt;
}

}  // namespace quantized
