// Fuzz target: a safetensors file. Beyond not crashing, a file that opens keeps the reader's
// promises: names ascend, and the tensors tile the data, so that every byte of them can be read.
#include <algorithm>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "core/base/check.h"
#include "core/safetensors/reader.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace quantized;
  const auto reader = safetensors::SafetensorsReader::Open(
      MemoryBytes("fuzz.safetensors", std::as_bytes(std::span(data, size))));
  if (!reader.ok()) return 0;
  std::vector<std::pair<uint64_t, uint64_t>> ranges;
  const safetensors::TensorInfo* last = nullptr;
  for (const safetensors::TensorInfo& tensor : (*reader)->tensors()) {
    CHECK(last == nullptr || last->name < tensor.name);
    CHECK((*reader)->Find(tensor.name) == &tensor);
    CHECK(tensor.size_bytes <= size);
    std::vector<std::byte> bytes(tensor.size_bytes);
    CHECK((*reader)->Read(tensor, 0, bytes).ok());
    ranges.emplace_back(tensor.offset, tensor.offset + tensor.size_bytes);
    last = &tensor;
  }
  std::sort(ranges.begin(), ranges.end());
  uint64_t covered = (*reader)->header_bytes();
  for (const auto& [begin, end] : ranges) {
    CHECK(begin == covered);
    covered = end;
  }
  CHECK(covered == size);
  return 0;
}
