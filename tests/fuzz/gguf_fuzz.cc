// Fuzz target: a GGUF file. Beyond not crashing, a file that opens keeps the reader's promises:
// every byte of every tensor can be read, no byte belongs to two of them, and planning the same
// metadata and tensors again gives a header that reads back to the same plan.
#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "core/base/check.h"
#include "core/gguf/layout.h"
#include "core/gguf/reader.h"
#include "core/source/gguf_summary.h"

namespace quantized {
namespace {

void CheckTensors(const gguf::GgufReader& reader, size_t file_bytes) {
  std::vector<std::pair<uint64_t, uint64_t>> ranges;
  for (const gguf::TensorInfo& tensor : reader.tensors()) {
    CHECK(tensor.size_bytes > 0 && tensor.size_bytes <= file_bytes);
    std::vector<std::byte> bytes(tensor.size_bytes);
    CHECK(reader.Read(tensor, 0, bytes).ok());
    ranges.emplace_back(tensor.offset, tensor.offset + tensor.size_bytes);
  }
  std::sort(ranges.begin(), ranges.end());
  for (size_t i = 1; i < ranges.size(); ++i) CHECK(ranges[i - 1].second <= ranges[i].first);
}

std::vector<gguf::PlannedTensor> Planned(const gguf::GgufReader& reader) {
  std::vector<gguf::PlannedTensor> planned;
  for (const gguf::TensorInfo& tensor : reader.tensors()) {
    planned.push_back({tensor.name, tensor.type, tensor.dims});
  }
  return planned;
}

void CheckPlan(const gguf::GgufReader& reader) {
  const auto layout = gguf::Plan(reader.metadata(), Planned(reader));
  // Names that are too long for a file of ours can be read; a wide alignment spreads the tensors.
  if (!layout.ok() || layout->file_size_bytes > (1 << 24)) return;
  std::string file = layout->header;
  file.resize(layout->file_size_bytes, '\0');
  const auto again = gguf::GgufReader::Open(MemoryBytes("plan", std::as_bytes(std::span(file))));
  CHECK(again.ok());
  const auto plan_again = gguf::Plan((*again)->metadata(), Planned(**again));
  CHECK(plan_again.ok() && plan_again->header == layout->header);
}

}  // namespace
}  // namespace quantized

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace quantized;
  const auto reader =
      gguf::GgufReader::Open(MemoryBytes("fuzz.gguf", std::as_bytes(std::span(data, size))));
  if (!reader.ok()) return 0;
  CheckTensors(**reader, size);
  CheckPlan(**reader);
  Summarize(**reader, "fuzz");
  return 0;
}
