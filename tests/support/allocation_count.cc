#include "tests/support/allocation_count.h"

#include <malloc.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <new>

namespace quantized::testing {
namespace {

std::atomic<int64_t> allocated_bytes{0}, peak_bytes{0};

#ifdef QUANTIZED_COUNTS_ALLOCATIONS
void* Allocate(size_t size) {
  void* memory = std::malloc(size == 0 ? 1 : size);
  if (memory == nullptr) return nullptr;
  const auto bytes = static_cast<int64_t>(malloc_usable_size(memory));
  const int64_t now = allocated_bytes.fetch_add(bytes) + bytes;
  int64_t peak = peak_bytes.load();
  while (peak < now && !peak_bytes.compare_exchange_weak(peak, now)) {
  }
  return memory;
}

void Free(void* memory) {
  if (memory == nullptr) return;
  allocated_bytes.fetch_sub(static_cast<int64_t>(malloc_usable_size(memory)));
  std::free(memory);
}
#endif

}  // namespace

bool CountsAllocations() {
#ifdef QUANTIZED_COUNTS_ALLOCATIONS
  return true;
#else
  return false;
#endif
}

int64_t AllocatedBytes() { return allocated_bytes.load(); }
int64_t PeakAllocatedBytes() { return peak_bytes.load(); }
void StartPeak() { peak_bytes.store(allocated_bytes.load()); }

}  // namespace quantized::testing

#ifdef QUANTIZED_COUNTS_ALLOCATIONS
// The other forms call these.
void* operator new(size_t size) {
  void* memory = quantized::testing::Allocate(size);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
void operator delete(void* memory) noexcept { quantized::testing::Free(memory); }
void operator delete(void* memory, size_t /*size*/) noexcept { quantized::testing::Free(memory); }
#endif
