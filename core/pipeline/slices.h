// A tensor is read, encoded, hashed and checked in slices of whole rows, so that several threads
// work on one tensor and memory does not grow with it. The cut depends on the tensor's shape only:
// results are the same for any number of threads.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "core/base/job_context.h"
#include "core/pipeline/plan.h"

namespace quantized {

// A slice has at most so many values, but at least one row.
inline constexpr uint64_t kSliceValues = 256 * 1024;

struct Slice {
  size_t tensor = 0;   // in the order of the output
  uint64_t index = 0;  // within the tensor
  uint64_t first_row = 0, rows = 0;
};

uint64_t SliceRows(const OutputTensor& tensor);  // of all slices but the last
uint64_t SliceCount(const OutputTensor& tensor);

// What one thread works in; grows to the largest slice it has met.
struct SliceBuffers {
  size_t thread = 0;  // counts the threads that work on slices
  std::vector<std::byte> source, encoded;
  std::vector<float> values;
};

// Runs `body` for each slice of the tensors that are not in `skip` (a flag per tensor, or empty) on
// the context's threads, handed out in order. After a failure or a stop request no more are handed
// out. Returns the failure of the first slice that failed, in order; kCancelled after a stop.
absl::Status ForEachSlice(std::span<const OutputTensor> tensors, std::span<const uint8_t> skip,
                          JobContext& context,
                          const std::function<absl::Status(const Slice&, SliceBuffers&)>& body);

// The hash of a unit (an output tensor) is the XXH3 (64 bits) of the XXH3s (8 bytes each,
// little-endian) of its slices' bytes in order, which can thus be made in any order. Thread-safe.
class UnitHasher {
 public:
  explicit UnitHasher(std::span<const OutputTensor> tensors);

  // Takes the bytes of a slice. The hash of its unit, with the unit's last slice.
  std::optional<uint64_t> Add(const Slice& slice, std::span<const std::byte> bytes);

 private:
  struct Unit {
    std::vector<uint64_t> slices;
    std::atomic<uint64_t> missing;
  };
  std::vector<Unit> units_;
};

}  // namespace quantized
