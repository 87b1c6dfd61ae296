// CHECK for broken invariants of ours; never for input from outside, which gets a Status.
// Prints file, line and the condition to stderr and aborts. Usable from any thread.
#pragma once

#include <cstdio>
#include <cstdlib>

namespace quantized::internal {

[[noreturn]] inline void CheckFailed(const char* file, int line, const char* condition) {
  std::fprintf(stderr, "%s:%d: CHECK failed: %s\n", file, line, condition);
  std::abort();
}

}  // namespace quantized::internal

#define CHECK(condition)        \
  (static_cast<bool>(condition) \
       ? static_cast<void>(0)   \
       : ::quantized::internal::CheckFailed(__FILE__, __LINE__, #condition))
