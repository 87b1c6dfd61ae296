// What both forms of a job and of its result say in the same way.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "quantized/v1/job.pb.h"

namespace quantized {

// By the command's name: "quantize", "convert"; "noop".
std::string_view OperationOf(const v1::JobSpec& spec);

// The file that a user hands to a program that loads the model: the first one of a split model.
const std::string& MainFileOf(const v1::QuantizeResult& result);

// The contract's `peak_memory_bytes`: the worker's highest resident memory plus the device's.
uint64_t PeakMemoryOf(const v1::QuantizeResult& result);

// Of a conversion, how far weights are off: the root of |difference of weights|² / |weights|², a
// mean over linears. Nothing where nobody measured it: of gguf that is not exact, and of a folder
// that went on from a checkpoint. Precondition: it is one of a conversion.
std::optional<double> RelativeErrorOf(const v1::QuantizeResult& result);

}  // namespace quantized
