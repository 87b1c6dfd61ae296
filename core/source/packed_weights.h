// The linears of an AWQ or GPTQ directory as tensors of a checkpoint: MODULE.weight each, as
// float32 or as GGUF blocks. A linear is unpacked as a whole; the last few stay in memory.
// Thread-safe: any thread may call const methods.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "core/base/mutex.h"
#include "core/packed/gguf_blocks.h"
#include "core/packed/reader.h"
#include "core/source/checkpoint_tensor.h"
#include "core/source/weights_store.h"

namespace quantized {

// How blocks of one type hold all linears: as they hold the worst of them.
struct BlockFittingOfAll : BlockFitting {
  std::string module;  // that it is said of, where it is not exact
};

class PackedWeights {
 public:
  // `weights` must outlive the result. Errors: those of ListPackedModules.
  static absl::StatusOr<std::unique_ptr<PackedWeights>> Open(const HfWeights& weights,
                                                             const PackedScheme& scheme);

  const PackedScheme& scheme() const { return scheme_; }
  const std::vector<PackedModule>& modules() const { return modules_; }

  // The linear, from memory or unpacked. Errors: those of LoadPackedModule.
  absl::StatusOr<std::shared_ptr<const QuantizedLinear>> Load(size_t module) const;

  // Scale, zero points and groups of a linear. Errors: those of LoadPackedGrid.
  absl::StatusOr<QuantizedLinear> LoadGrid(size_t module) const;

  // For each of BlockTypes(). Reads scales, zero points and groups of all linears. Errors: those of
  // LoadPackedGrid.
  absl::StatusOr<std::vector<BlockFittingOfAll>> BlockFits() const;

  // All tensors of `weights` in their order, with one in the place of each linear's. Linears are
  // blocks of `type` (precondition: BlockFits says that they fit), or float32 where it is kF32.
  // Errors: kValidationFailed for a linear whose weight is there besides.
  absl::StatusOr<std::vector<CheckpointTensor>> Tensors(kernels::TypeId type) const;

  // What Load keeps, at most.
  uint64_t MemoryBytes() const;

 private:
  struct Entry;

  PackedWeights(const HfWeights& weights, const PackedScheme& scheme);

  absl::Status Read(size_t module, kernels::TypeId type, uint64_t first_byte,
                    std::span<std::byte> out) const;
  std::shared_ptr<Entry> EntryOf(size_t module) const;

  const HfWeights& weights_;
  const PackedScheme scheme_;
  const WeightsStore store_;
  std::vector<PackedModule> modules_;
  mutable Mutex mutex_;
  mutable std::list<std::shared_ptr<Entry>> latest_ ABSL_GUARDED_BY(mutex_);  // the newest first
};

}  // namespace quantized
