// For tests of what a piece of code holds of memory: counts what comes from operator new, which a
// program that links this has replaced. What C libraries take by themselves is not in it.
#pragma once

#include <cstddef>

namespace quantized::testing {

// Bytes that are allocated now, by all threads.
size_t AllocatedBytes();
// The most there were at once since the last call of StartPeak.
size_t PeakAllocatedBytes();
void StartPeak();

// The most that `run` holds at once, beyond what there was before.
template <class Run>
size_t PeakOf(const Run& run) {
  const size_t before = AllocatedBytes();
  StartPeak();
  run();
  return PeakAllocatedBytes() - before;
}

}  // namespace quantized::testing
