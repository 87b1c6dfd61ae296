// A failed call as gRPC carries it: the code and message of its status, and the ErrorDetail
// (proto/quantized/v1/error.proto) in the trailer kErrorTrailer.
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/status.h>

#include "absl/status/status.h"

namespace quantized {

inline constexpr char kErrorTrailer[] = "quantized-error-bin";

// OK stays OK. Must be called before the call's status or last message is sent.
grpc::Status RpcStatus(grpc::CallbackServerContext& context, const absl::Status& status);

}  // namespace quantized
