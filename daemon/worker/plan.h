// `quantize-worker plan`: what a job would make and need (core/pipeline/forecast.h). Reads a
// QuantizeSpec, as binary protobuf, from standard input; answers as `inspect` does.
//
//   status       "plan"
//   model_name, architecture, parameter_count, num_layers, original_dtype, original_size
//   outputs      in the order of the spec: [{quantization_level, files, file_size, bits_per_weight,
//                substitutions: [{tensor, wanted_type, used_type, why}, …]}, …]
//   conversion   null, or {from, fidelity, why, relative_error}: of a sample, the root of
//                |difference of weights|² / |weights|²; 0 where none is quantized anew
//   threads, memory_needed_bytes, memory_available_bytes, disk_needed_bytes, disk_free_bytes
//   warnings     what would stop the job, in words
#pragma once

#include <cstdio>

namespace quantized {

// Returns the exit code. Errors: those of ForecastQuantize and CheckRunnable; kInvalidArgument for
// an input that is no QuantizeSpec or is too long.
int RunPlan(std::FILE* input);

}  // namespace quantized
