// For tests of what a piece of code holds of memory: counts what comes from operator new, which a
// program that links this has replaced. What C libraries take by themselves is not in it.
// Sanitizers have an operator new of their own, which is left to them: there is no count then.
#pragma once

#include <cstddef>
#include <cstdint>

namespace quantized::testing {

bool CountsAllocations();

// Bytes that are allocated now, by all threads.
int64_t AllocatedBytes();
// The most there were at once since the last call of StartPeak.
int64_t PeakAllocatedBytes();
void StartPeak();

// The most that `run` holds at once, beyond what there was before.
template <class Run>
size_t PeakOf(const Run& run) {
  const int64_t before = AllocatedBytes();
  StartPeak();
  run();
  return static_cast<size_t>(PeakAllocatedBytes() - before);
}

}  // namespace quantized::testing
