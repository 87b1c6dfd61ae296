#include "daemon/worker/job_kind.h"

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

}  // namespace quantized
