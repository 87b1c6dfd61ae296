#include "daemon/worker/job_kind.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "daemon/worker/noop.h"
#include "daemon/worker/quantize.h"

namespace quantized {
namespace {

constexpr JobKind kJobKinds[] = {
    {v1::JobSpec::kQuantize, "quantize", &RunQuantize},
    {v1::JobSpec::kNoop, "noop", &RunNoop},
};

}  // namespace

std::span<const JobKind> AllJobKinds() { return kJobKinds; }

const JobKind* FindJobKind(v1::JobSpec::OperationCase operation) {
  for (const JobKind& kind : kJobKinds) {
    if (kind.operation == operation) return &kind;
  }
  return nullptr;
}

JobOutcome RunJob(const v1::StartAttempt& start, std::stop_token stop, ProgressSink& progress) {
  const JobKind* kind = FindJobKind(start.spec().operation_case());
  if (kind != nullptr) return kind->run(start, std::move(stop), progress);
  return {
      MakeError(Error::kNotImplemented, absl::StrCat("operation ", start.spec().operation_case(),
                                                     " of the job is none that this worker knows")),
      {}};
}

}  // namespace quantized
