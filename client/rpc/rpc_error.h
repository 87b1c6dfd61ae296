// What a gRPC call's outcome means to us.
#pragma once

#include <grpcpp/client_context.h>
#include <grpcpp/support/status.h>

#include <string>

#include "absl/status/status.h"

namespace quantized {

// The outcome of a call that `context` made to the daemon at `target`. Without a detail from the
// daemon a failed call is a failed connection (kDaemonUnavailable), a refused caller
// (kAuthenticationRequired), a daemon that lacks the call (kVersionSkew) or kInternal.
absl::Status StatusOf(const grpc::Status& status, const grpc::ClientContext& context,
                      const std::string& target);

// Whether the same call may succeed when it is made again, perhaps to a restarted daemon.
bool IsWorthRetrying(const grpc::Status& status);

}  // namespace quantized
