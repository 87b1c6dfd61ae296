// What both forms of a result say in the same way.
#pragma once

#include <cstdint>
#include <string>

#include "quantized/v1/job.pb.h"

namespace quantized {

// The file that a user hands to a program that loads the model: the first one of a split model.
const std::string& MainFileOf(const v1::QuantizeResult& result);

// The contract's `peak_memory_bytes`: the worker's highest resident memory plus the device's.
uint64_t PeakMemoryOf(const v1::QuantizeResult& result);

}  // namespace quantized
