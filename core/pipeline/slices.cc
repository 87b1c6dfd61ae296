#include "core/pipeline/slices.h"

#include <xxhash.h>

#include <algorithm>

#include "core/base/mutex.h"

namespace quantized {
namespace {

// Hands out the slices in order until something fails.
class SliceQueue {
 public:
  SliceQueue(std::span<const OutputTensor> tensors, std::span<const uint8_t> skip)
      : tensors_(tensors), skip_(skip) {}

  std::optional<Slice> Next(const JobContext& context) {
    MutexLock lock(mutex_);
    if (!status_.ok()) return std::nullopt;
    while (tensor_ < tensors_.size() &&
           (index_ >= SliceCount(tensors_[tensor_]) || (!skip_.empty() && skip_[tensor_]))) {
      ++tensor_;
      index_ = 0;
    }
    if (tensor_ == tensors_.size()) return std::nullopt;
    status_ = context.CheckStopped();
    if (!status_.ok()) return std::nullopt;
    const OutputTensor& tensor = tensors_[tensor_];
    Slice slice{.tensor = tensor_, .index = index_, .first_row = index_ * SliceRows(tensor)};
    slice.rows = std::min(SliceRows(tensor), tensor.rows - slice.first_row);
    ++index_;
    return slice;
  }

  // Slices before a failed one have all been handed out and will still be finished, so the first
  // failure in order is found whatever the timing.
  void Fail(const Slice& slice, absl::Status status) {
    MutexLock lock(mutex_);
    const std::pair place(slice.tensor, slice.index);
    if (failed_ && *failed_ < place) return;
    failed_ = place;
    status_ = std::move(status);
  }

  absl::Status status() {
    MutexLock lock(mutex_);
    return status_;
  }

 private:
  const std::span<const OutputTensor> tensors_;
  const std::span<const uint8_t> skip_;
  Mutex mutex_;
  size_t tensor_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t index_ ABSL_GUARDED_BY(mutex_) = 0;
  std::optional<std::pair<size_t, uint64_t>> failed_ ABSL_GUARDED_BY(mutex_);
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

uint64_t SliceRows(const OutputTensor& tensor) {
  return std::max<uint64_t>(1, kSliceValues / tensor.cols);
}

uint64_t SliceCount(const OutputTensor& tensor) {
  return (tensor.rows - 1) / SliceRows(tensor) + 1;
}

absl::Status ForEachSlice(std::span<const OutputTensor> tensors, std::span<const uint8_t> skip,
                          JobContext& context,
                          const std::function<absl::Status(const Slice&, SliceBuffers&)>& body) {
  SliceQueue queue(tensors, skip);
  context.threads.ParallelFor(context.threads.size(), [&](size_t thread) {
    SliceBuffers buffers;
    buffers.thread = thread;
    while (const std::optional<Slice> slice = queue.Next(context)) {
      if (absl::Status status = body(*slice, buffers); !status.ok()) {
        queue.Fail(*slice, std::move(status));
      }
    }
  });
  return queue.status();
}

UnitHasher::UnitHasher(std::span<const OutputTensor> tensors) : units_(tensors.size()) {
  for (size_t i = 0; i < tensors.size(); ++i) {
    units_[i].slices.resize(SliceCount(tensors[i]));
    units_[i].missing = units_[i].slices.size();
  }
}

std::optional<uint64_t> UnitHasher::Add(const Slice& slice, std::span<const std::byte> bytes) {
  Unit& unit = units_[slice.tensor];
  unit.slices[slice.index] = XXH3_64bits(bytes.data(), bytes.size());
  // The last to count down sees what all others stored.
  if (unit.missing.fetch_sub(1, std::memory_order_acq_rel) != 1) return std::nullopt;
  return XXH3_64bits(unit.slices.data(), unit.slices.size() * sizeof(uint64_t));
}

}  // namespace quantized
