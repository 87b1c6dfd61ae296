// The activations of all tokens at one place of the model: rows of floats, in memory or, where that
// is too much, in a file without a name. Reads and writes of different rows may happen at once from
// several threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/base/file.h"

namespace quantized {

class ActivationStore {
 public:
  // Holds `rows` rows of `width` floats, all 0. With `spill_folder` in a file there, which is gone
  // with *this, however the process ends; without (empty) in memory. Errors: kIo, kDiskFull.
  static absl::StatusOr<ActivationStore> Create(uint64_t rows, uint64_t width,
                                                const std::filesystem::path& spill_folder);

  uint64_t rows() const { return rows_; }
  uint64_t width() const { return width_; }
  bool spilled() const { return file_.fd() >= 0; }

  // Rows that follow each other. `out` and `values` hold count * width floats.
  absl::Status Read(uint64_t first, uint64_t count, float* out) const;
  absl::Status Write(uint64_t first, uint64_t count, const float* values);

  // Any rows, in the order of `rows`.
  absl::Status Gather(std::span<const uint32_t> rows, float* out) const;
  absl::Status Scatter(std::span<const uint32_t> rows, const float* values);

 private:
  ActivationStore(uint64_t rows, uint64_t width) : rows_(rows), width_(width) {}

  uint64_t rows_, width_;
  std::vector<float> memory_;
  File file_;
};

}  // namespace quantized
