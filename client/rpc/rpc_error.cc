#include "client/rpc/rpc_error.h"

#include <fmt/format.h>

#include "client/rpc/error_detail.h"
#include "core/base/error.h"

namespace quantized {
namespace {

constexpr char kDetailTrailer[] = "quantized-error-bin";

}  // namespace

absl::Status StatusOf(const grpc::Status& status, const grpc::ClientContext& context,
                      const std::string& target) {
  if (status.ok()) return absl::OkStatus();
  const auto& trailers = context.GetServerTrailingMetadata();
  if (const auto found = trailers.find(kDetailTrailer); found != trailers.end()) {
    v1::ErrorDetail detail;
    if (detail.ParseFromArray(found->second.data(), static_cast<int>(found->second.size()))) {
      return StatusOf(detail);
    }
  }
  switch (status.error_code()) {
    case grpc::StatusCode::UNAVAILABLE:
      return MakeError(
          Error::kDaemonUnavailable,
          fmt::format("cannot reach the daemon at {}: {}", target, status.error_message()),
          "Check the address and that quantized runs there");
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      return MakeError(Error::kDaemonUnavailable,
                       fmt::format("the daemon at {} did not answer in time", target));
    case grpc::StatusCode::CANCELLED:
      return MakeError(Error::kCancelled, "the call was given up");
    case grpc::StatusCode::UNIMPLEMENTED:
      return MakeError(Error::kVersionSkew,
                       fmt::format("the daemon at {} lacks a call that this client makes", target),
                       "Use a client and a daemon of the same version");
    case grpc::StatusCode::UNAUTHENTICATED:
    case grpc::StatusCode::PERMISSION_DENIED:
      return MakeError(Error::kAuthenticationRequired,
                       fmt::format("the daemon at {} refused: {}", target, status.error_message()));
    default:
      return MakeError(Error::kInternal,
                       fmt::format("the daemon at {} failed: {}", target, status.error_message()));
  }
}

bool IsWorthRetrying(const grpc::Status& status) {
  return status.error_code() == grpc::StatusCode::UNAVAILABLE ||
         status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED;
}

}  // namespace quantized
