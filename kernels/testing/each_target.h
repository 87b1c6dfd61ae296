// For tests: runs a body once per instruction set that Highway has code for on this processor.
#pragma once

#include <gtest/gtest.h>

#include "hwy/highway.h"

namespace quantized::kernels::testing {

// Calls body() with each target chosen in turn, named in failures, and leaves the best one chosen.
// Not thread-safe: the choice belongs to the process.
template <class Body>
void ForEachSimdTarget(const Body& body) {
  for (const int64_t target : hwy::SupportedAndGeneratedTargets()) {
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
    SCOPED_TRACE(hwy::TargetName(target));
    body();
  }
  hwy::SetSupportedTargetsForTest(0);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

}  // namespace quantized::kernels::testing
