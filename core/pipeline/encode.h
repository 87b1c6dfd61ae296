// The work itself: each tensor's rows are read from the source, turned into f32, encoded in the
// output's type and written at their final offset (docs/design/streaming.md).
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "absl/status/status.h"
#include "core/base/file.h"
#include "core/base/job_context.h"
#include "core/pipeline/journal.h"
#include "core/pipeline/plan.h"
#include "core/source/model_source.h"

namespace quantized {

// Called from the context's threads.
struct EncodeEvents {
  std::function<absl::Status(const UnitRecord&)> on_unit;  // all bytes of a tensor are in `part`
  std::function<void(uint64_t bytes)> on_bytes;            // so many more bytes are
};

// Makes the tensors that are not in `skip` (a flag for each). Errors: kValidationFailed for a NaN
// or infinity in the source or a value that the output's type cannot hold, naming file, tensor, row
// and what was found; those of the source, of the writes, of on_unit; kCancelled.
absl::Status EncodeTensors(const ModelSource& source, const QuantizePlan& plan,
                           std::span<const uint8_t> skip, File& part, const EncodeEvents& events,
                           JobContext& context);

// Rows of a tensor in the output's type, made by the plain reference encoder: what validation
// compares with. `values` receives them as f32, unless bytes are copied.
absl::Status EncodeRowsByReference(const ModelSource& source, const OutputTensor& tensor,
                                   uint64_t first_row, uint64_t rows, std::vector<float>& values,
                                   std::vector<std::byte>& encoded);

}  // namespace quantized
