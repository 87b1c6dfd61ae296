// One attempt, from Hello to the last word, over the socket at descriptor kWorkerSocket.
// Contract of the conversation: proto/quantized/v1/worker.proto; life of the process:
// docs/design/worker.md.
#pragma once

#include <string_view>

#include "daemon/worker/guarded_work.h"

namespace quantized {

// `program` is for messages: "quantize-worker". Returns the exit code: 0 after a result, else that
// of the error's row; does nothing but return once the last word was sent. 2 when the descriptor is
// no socket, that is, when somebody called the program by hand. Ends the process at once when the
// daemon goes away.
int RunAttempt(std::string_view program, AttemptWork work);

}  // namespace quantized
