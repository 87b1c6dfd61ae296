// Looks at all that a model holds: `info --verify` and `info --against`.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/base/thread_pool.h"
#include "core/pipeline/folded_scales.h"

namespace quantized {

// Reads every tensor of a GGUF file or a Hugging Face directory: floats and scales are finite,
// packed linears can be unpacked, each in one way. A directory has all tensors that its
// architecture needs (core/source/completeness.h). Of weights that are packed in a way that we do
// not read (core/source/quantization.h) only the floats are looked at. That all lie inside their
// files is checked when these are opened. Returns how many there are, a packed linear as one.
// Errors: kValidationFailed, naming the first tensor that is not sound.
absl::StatusOr<uint64_t> VerifyModel(const std::filesystem::path& path, ThreadPool& threads);

struct TensorDifference {
  std::string name, type;  // as the model itself has them
  // Root mean square of the differences over that of the source's values, and the largest
  // difference; nothing where they would say nothing (folded, not undone).
  std::optional<double> relative_error, max_error;
  UndoneScales::State scales = UndoneScales::State::kNone;
};

struct ModelDifference {
  std::vector<TensorDifference> tensors;  // in the model's order
  double relative_error = 0;              // of all matrices together that were measured
  // Whether AWQ's scales were found and undone (core/pipeline/folded_scales.h); false where they
  // may be there, but the architecture, which says where, is not known. Nothing where none are.
  std::optional<bool> scales_undone;
};

// How far the values of a model's tensors are from those of `source`, which it was made of: either
// may be a GGUF file or a directory, packed or not, with or without its tokenizer; beside a GGUF
// file, of a known architecture. Scales that AWQ moved between tensors are undone first. Where one
// of the models has no output head, its embedding is compared in the place of one, as it is used;
// generated tensors (rope factors) that one of them lacks are passed over. Errors: those of
// ModelPair::Open and ForEachRow, with kValidationFailed for what kUnsupportedConversion is there.
absl::StatusOr<ModelDifference> CompareTensors(const std::filesystem::path& model,
                                               const std::filesystem::path& source,
                                               ThreadPool& threads);

}  // namespace quantized
