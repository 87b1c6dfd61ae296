// What the reactors of all calls have in common. One class per RPC derives from one of these; it
// asks the queue and passes its answer on, nothing else: reactions run on gRPC's threads or the
// queue's and must be short. A reactor deletes itself when gRPC is done with it.
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <utility>

#include "absl/status/statusor.h"
#include "daemon/service/lifetime.h"
#include "daemon/service/rpc_status.h"

namespace quantized {

// One request, one response.
template <typename Response>
class UnaryReactor : public grpc::ServerUnaryReactor {
 public:
  UnaryReactor(Lifetime& lifetime, grpc::CallbackServerContext& context, Response& response)
      : call_(lifetime), context_(context), response_(response) {}

 protected:
  // Exactly once; the reactor may be gone when it returns.
  void Reply(absl::StatusOr<Response> result) {
    const absl::Status status = result.status();
    if (status.ok()) response_ = *std::move(result);
    Finish(RpcStatus(context_, status));
  }

 private:
  void OnDone() final { delete this; }

  const Lifetime::Call call_;
  grpc::CallbackServerContext& context_;
  Response& response_;
};

// One request, a stream of responses, of which one is under way at a time.
template <typename Response>
class StreamReactor : public grpc::ServerWriteReactor<Response> {
 public:
  StreamReactor(Lifetime& lifetime, grpc::CallbackServerContext& context)
      : call_(lifetime), context_(context) {}

 protected:
  // Gets the next response, and then calls one of Send and End; called again after each Send.
  virtual void Next() = 0;
  // The client went away: whatever Next waits for is to end soon.
  virtual void GiveUp() = 0;

  // `response` must stay until Next is called or the reactor dies. The reactor may be gone when
  // these return.
  void Send(const Response& response) { this->StartWrite(&response); }
  void End(const absl::Status& status) { this->Finish(RpcStatus(context_, status)); }

 private:
  void OnWriteDone(bool ok) final {
    if (!ok) GiveUp();
    Next();
  }
  void OnCancel() final { GiveUp(); }
  void OnDone() final { delete this; }

  const Lifetime::Call call_;
  grpc::CallbackServerContext& context_;
};

}  // namespace quantized
