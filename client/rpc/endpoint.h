// Where a daemon listens.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace quantized {

struct Endpoint {
  enum class Kind {
    kNamed,     // by --host or LLM_QUANTIZE_HOST
    kSystem,    // the machine's own daemon
    kEmbedded,  // this user's, which a client starts when it is not there
  };
  Kind kind = Kind::kNamed;
  std::string target;  // as gRPC takes it: "unix:/run/x.sock", "dns:///gpu-box:7420"
};

// What a user may write: `unix:PATH` (a relative path is taken from the working directory) or
// `HOST:PORT`, an IPv6 address in brackets. Errors: kInvalidArgument.
absl::StatusOr<Endpoint> ParseHost(std::string_view host);

// Whether something accepts connections on the socket `path` right now.
bool SocketAnswers(const std::string& path);

}  // namespace quantized
