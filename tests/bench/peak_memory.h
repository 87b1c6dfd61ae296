// How much memory a quantization takes, measured in a process of its own.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "tests/support/synthetic_model.h"

namespace quantized::testing {

struct PeakMemory {
  uint64_t model_bytes = 0;
  uint64_t resident_bytes = 0;  // VmHWM
};

// The highest resident memory of a process of its own that does `work`, which tells whether it
// succeeded. Failures are those of the test that calls.
uint64_t PeakResidentBytesOf(const std::function<bool()>& work);

// Makes the model in a fresh folder, quantizes it with two threads and checkpoints, and removes
// all. Failures are those of the test that calls.
PeakMemory PeakMemoryOfQuantizing(const SyntheticModel& model, const std::string& level);

}  // namespace quantized::testing
