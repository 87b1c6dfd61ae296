#include "daemon/worker/guarded_work.h"

#include <exception>
#include <new>
#include <utility>

#include "core/base/error.h"
#include "core/base/str_cat.h"
#include "daemon/worker/out_of_memory.h"

namespace quantized {

JobOutcome RunGuarded(AttemptWork work, const v1::StartAttempt& start, std::stop_token stop,
                      ProgressSink& progress) {
  try {
    return work(start, std::move(stop), progress);
  } catch (const std::bad_alloc&) {
    return {AllocationFailed(), {}};
  } catch (const std::exception& thrown) {
    return {MakeError(Error::kInternal, StrCat("the job ended by an exception: ", thrown.what())),
            {}};
  }
}

}  // namespace quantized
