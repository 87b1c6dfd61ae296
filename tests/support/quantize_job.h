// Runs core's quantization of one output in a test, with threads of its own.
#pragma once

#include <cstddef>
#include <stop_token>

#include "absl/status/statusor.h"
#include "core/pipeline/quantize.h"
#include "tests/support/recording_sink.h"

namespace quantized::testing {

absl::StatusOr<QuantizeResult> RunQuantize(const QuantizeRequest& request, RecordingSink& sink,
                                           size_t threads = 2, std::stop_token stop = {});
absl::StatusOr<QuantizeResult> RunQuantize(const QuantizeRequest& request, size_t threads = 2);

}  // namespace quantized::testing
