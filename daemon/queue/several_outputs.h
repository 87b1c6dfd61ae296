// The step of a store from version 1, whose jobs had one level and one output, to version 2: the
// messages in it (specs, results, Finished events) get the form that proto/quantized/v1/job.proto
// has now. What they said before lies in fields that the proto reserves:
//
//   QuantizeSpec.levels = 4, QuantizeSpec.output_path = 5  →  outputs = 10, one OutputSpec
//   JobResult.quantize = 1, a QuantizeResult               →  quantize = 3, a QuantizeResults of
//   one
#pragma once

#include "absl/status/status.h"
#include "daemon/queue/sqlite.h"

namespace quantized {

// Within the migration's transaction. Errors: the store's; kIo where a message cannot be read.
absl::Status ConvertToSeveralOutputs(Database& db);

}  // namespace quantized
