#include "daemon/service/rpc_status.h"

#include <string>

#include "daemon/worker/error_detail.h"

namespace quantized {

grpc::Status RpcStatus(grpc::CallbackServerContext& context, const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  const v1::ErrorDetail detail = ErrorDetailOf(status);
  context.AddTrailingMetadata(kErrorTrailer, detail.SerializeAsString());
  // Both count the codes alike.
  return {static_cast<grpc::StatusCode>(status.code()), detail.message()};
}

}  // namespace quantized
