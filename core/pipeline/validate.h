// Checks an output's files against the plan and the source before (or after) it has its final name:
// reopened as any reader would, every byte read once, samples made again and compared.
#pragma once

#include <cstdint>
#include <span>

#include "absl/status/status.h"
#include "core/base/file.h"
#include "core/base/job_context.h"
#include "core/pipeline/plan.h"
#include "core/source/model_source.h"

namespace quantized {

// That the tensors of `which` (a flag for each; empty: all) have these hashes in `files`, one for
// each tensor of the plan. `matches` gets a flag for each tensor. Errors: kIo, kCancelled.
absl::Status MatchUnits(std::span<const File> files, const QuantizePlan& plan,
                        std::span<const uint64_t> hashes, std::span<const uint8_t> which,
                        JobContext& context, std::vector<uint8_t>& matches);

// That `files`, one for each file of the plan, are what `plan` makes of `source`:
// - size and header are the plan's, the reader accepts each file and finds the plan's tensors,
// bytes
//   between tensors are zero;
// - every tensor's bytes have the hash that they were written with (`hashes`: one for each tensor;
//   empty: not known) and finite scales;
// - of each tensor sampled rows equal, byte for byte, what the plain encoder makes of the source's,
//   and, where no importance weighs them, their decoded values differ from the source's by no more
//   than the type allows.
// Errors: kValidationFailed naming file, tensor, what was found and expected; those of the source;
// kCancelled.
absl::Status ValidateOutput(std::span<const File> files, const QuantizePlan& plan,
                            const ModelSource& source, std::span<const uint64_t> hashes,
                            JobContext& context);

}  // namespace quantized
