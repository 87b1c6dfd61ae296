// A failed status as it travels: from a worker to the daemon, from the daemon to a client.
#pragma once

#include "absl/status/status.h"
#include "quantized/v1/error.pb.h"

namespace quantized {

// The row of kErrors, the message and the suggestion of `status`, which must not be OK. Text is
// made printable (core/base/text.h): a message may quote a file's bytes.
v1::ErrorDetail ErrorDetailOf(const absl::Status& status);

}  // namespace quantized
