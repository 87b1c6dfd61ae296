#include "daemon/worker/out_of_memory.h"

#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <exception>
#include <new>
#include <string>

#include "core/base/error.h"
#include "daemon/worker/error_detail.h"
#include "daemon/worker/frames.h"

namespace quantized {
namespace {

// Made before it is needed, when there still is memory.
const std::string& LastWord() {
  static const std::string frame = [] {
    v1::WorkerFrame error;
    *error.mutable_error()->mutable_error() = ErrorDetailOf(AllocationFailed());
    return EncodeFrame(error).value();
  }();
  return frame;
}

[[noreturn]] void OnTerminate() {
  try {
    if (std::current_exception() != nullptr) std::rethrow_exception(std::current_exception());
  } catch (const std::bad_alloc&) {
    // In one call and past the channel's lock, which the thread that failed may hold.
    if (send(kWorkerSocket, LastWord().data(), LastWord().size(), MSG_NOSIGNAL) > 0) {
      _exit(RowOf(Error::kOutOfMemory).exit_code);
    }
  } catch (...) {
    std::abort();
  }
  std::abort();
}

}  // namespace

absl::Status AllocationFailed() {
  return MakeError(Error::kOutOfMemory, "an allocation failed while the job ran",
                   "Free memory or use fewer --threads, then give the same command again");
}

void InstallOutOfMemoryReport() {
  LastWord();
  std::set_terminate(OnTerminate);
}

}  // namespace quantized
