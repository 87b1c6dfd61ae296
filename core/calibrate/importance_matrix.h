// An importance matrix: how much each input column of each weight matters to a model's output, as a
// tool measured it on text. The weighted encoders take it. Where it comes from and what its numbers
// mean: docs/formats/imatrix.md. Immutable, hence thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/calibrate/importance_file.h"
#include "core/gguf/metadata.h"

namespace quantized {

// By the name of a tensor: one weight per column of it, of several matrices one after the other.
using ImportanceWeights = std::map<std::string, std::vector<float>, std::less<>>;

class ImportanceMatrix {
 public:
  // Which entries are kept: those whose name holds none of `exclude` and, where `include` has
  // something, one of `include`.
  struct Filter {
    std::vector<std::string> include;
    std::vector<std::string> exclude;
  };

  // `name` is of the file, for messages. Errors: kValidationFailed for a weight that is kept and
  // negative, infinite or NaN.
  static absl::StatusOr<ImportanceMatrix> Make(const ImportanceFile& file, std::string name,
                                               const Filter& filter);

  // The filter left nothing: quantization goes as without a matrix.
  bool empty() const { return entries_.empty(); }
  const ImportanceWeights& entries() const { return entries_; }
  const std::optional<std::string>& dataset() const { return dataset_; }
  uint32_t chunks() const { return chunks_; }  // 0: not known

  // The weights of tensor `name`, which has `matrices` matrices (the third dimension) with rows of
  // `cols`: cols * matrices of them, those of matrix m from m * cols on. Empty where there is no
  // entry. Points into *this. Errors: kValidationFailed, naming file and entry, where the entry has
  // another size. An embedding's entry of another size counts as none: some tools write such.
  absl::StatusOr<std::span<const float>> Find(std::string_view name, uint64_t cols,
                                              uint64_t matrices) const;

  // SHA-256 over names and weights, in hexadecimal: what the bytes of encoded tensors depend on.
  std::string Hash() const;

  // Tells in the metadata of a model which matrix it was made with: keys `quantize.imatrix.`
  // file, dataset, entries_count, chunks_count, appended in this order; the second only where the
  // matrix names a data set, the last only where it tells its chunks. `path` is what the user
  // typed; of a matrix that was made with the model and is in no file it is empty, and so is the
  // first key left out. An empty matrix leaves nothing.
  void AppendMetadata(std::string_view path, gguf::Metadata& metadata) const;

 private:
  ImportanceMatrix() = default;
  absl::Status CheckWeights() const;

  std::string file_name_;  // for messages
  ImportanceWeights entries_;
  std::optional<std::string> dataset_;
  uint32_t chunks_ = 0;
};

}  // namespace quantized
