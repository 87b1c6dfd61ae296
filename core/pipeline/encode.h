// The work itself: each tensor's rows are read from the source once, turned into f32, encoded in
// the type of each output and written at their final offsets (docs/design/streaming.md).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "core/base/job_context.h"
#include "core/pipeline/encode_device.h"
#include "core/pipeline/level_output.h"
#include "core/pipeline/plan.h"
#include "core/pipeline/progress.h"
#include "core/source/model_source.h"

namespace quantized {

// The outputs that one walk over `source` makes; at least one. Their plans have the same tensors of
// the source, in orders of their own.
struct Pass {
  const ModelSource* source;
  std::vector<LevelOutput*> outputs;
  std::vector<size_t> progress_parts;  // of each output in LayerProgress
  EncodeDevice* device;                // open where it encodes any of their tensors
};

// Makes what the outputs still want. What an output alone cannot take (a value beyond its type's
// range, a failed write) is noted in it, and the walk goes on as long as one is left. Errors, which
// concern all outputs: kValidationFailed for a NaN or infinity in the source, naming file, tensor,
// row and what was found; those of the source; kCancelled; and the last output's where all failed.
absl::Status EncodeOutputs(const Pass& pass, LayerProgress& progress, JobContext& context);

// Rows of a tensor in the output's type, made by the plain reference encoder: what validation
// compares with. `values` receives them as f32, unless bytes are copied.
absl::Status EncodeRowsByReference(const ModelSource& source, const OutputTensor& tensor,
                                   uint64_t first_row, uint64_t rows, std::vector<float>& values,
                                   std::vector<std::byte>& encoded);

}  // namespace quantized
