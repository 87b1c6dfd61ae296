// Finds the scales that AWQ moved from the inputs of linears into what gives them, in a model
// beside the one that it was made of, so that its weights can be compared as what they compute.
// Nothing is believed but values: a GGUF file made of an AWQ directory has the same scales.
// docs/design/awq.md, "Undoing".
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "core/base/thread_pool.h"
#include "core/pipeline/model_pair.h"

namespace quantized {

// What scales made of a tensor of the model, and how it is undone.
struct UndoneScales {
  enum class State {
    kNone,       // no scale was found
    kUndone,     // by the factors below
    kFolded,     // a norm: the source's, but for scales that are undone in what reads it
    kNotUndone,  // the norm before it has a value where the source's is 0
  };
  State state = State::kNone;
  std::vector<float> rows;  // by row; empty: 1
  // By column, of all matrices the same or of each its own; empty: 1. NaN: the norm gives 0 there,
  // in the source, too, and the column counts for nothing.
  std::vector<float> cols;
  uint64_t matrix_rows = 0;  // of one matrix

  // Makes a row of the model comparable with the source's; both are 0 where they count for nothing.
  void Undo(uint64_t row, std::span<float> found, std::span<float> wanted) const;
};

// One for each pair; empty where the model has no scales. Keys of `models` are those of GGUF.
// Errors: those of ForEachRow.
absl::StatusOr<std::vector<UndoneScales>> FindFoldedScales(const ModelPair& models,
                                                           ThreadPool& threads);

// Whether a weight that is a vector, as norms are, has other values than rounding explains: where
// it is not known which linears read it, scales may be folded into it. Errors: as above.
absl::StatusOr<bool> AnyNormDiffers(const ModelPair& models);

}  // namespace quantized
