// Looks at all that a model holds: `info --verify` and `info --against`.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/base/thread_pool.h"

namespace quantized {

// Reads every tensor of a GGUF file or a Hugging Face directory: floats and scales are finite,
// packed linears can be unpacked, each in one way. Of weights that are packed in a way that we do
// not read (core/source/quantization.h) only the floats are looked at. That all lie inside their
// files is checked when these are opened. Returns how many there are. Errors: kValidationFailed,
// naming the first tensor that is not sound.
absl::StatusOr<uint64_t> VerifyModel(const std::filesystem::path& path, ThreadPool& threads);

struct TensorDifference {
  std::string name;  // as in GGUF
  std::string type;  // that a GGUF file has it in; of a directory empty
  double relative_error =
      0;                 // root mean square of the differences over that of the source's values
  double max_error = 0;  // the largest difference
};

struct ModelDifference {
  std::vector<TensorDifference> tensors;  // in the model's order
  double relative_error = 0;              // of all matrices together
};

// How far the values of a model's tensors are from those of `source`, which it was made of: either
// may be a GGUF file or a directory of a known architecture, packed or not. Where one of them has
// no output head, its embedding is compared in the place of one, as it is used; generated tensors
// (rope factors) that one of them lacks are passed over. Errors: those of OpenModelSource, with
// kValidationFailed for what kUnsupportedConversion is there; kValidationFailed for a tensor that
// one of them lacks or has in another shape, as a distance over the others would not be that of the
// models, and for values that are no finite numbers, naming tensor and model.
absl::StatusOr<ModelDifference> CompareTensors(const std::filesystem::path& model,
                                               const std::filesystem::path& source,
                                               ThreadPool& threads);

}  // namespace quantized
