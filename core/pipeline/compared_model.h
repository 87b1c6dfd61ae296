// One of the two models that `info --against` compares: its tensors as floats, each under a key by
// which it is found in the other one. Needs no tokenizer. Thread-safe: any thread may call const
// methods.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/arch/architecture.h"
#include "core/source/locate.h"

namespace quantized {

// What keys are. A directory's tensors are those of the GGUF file that it would be converted to
// (docs/design/hf-to-gguf.md), or under names of a checkpoint what they are there.
enum class TensorKeys { kGguf, kCheckpoint };

struct ComparedTensor {
  // What the model itself calls it: one tensor; of a directory's experts, whose matrices are one
  // tensor in GGUF, all of them, equally many rows each.
  struct Part {
    std::string name, type;  // as `info --tensors` has them
  };
  std::string key;
  std::vector<Part> parts;
  std::vector<uint64_t> dims;  // GGUF order
  std::string origin;          // where it lies, for messages
  // Has rows beyond the tokenizer's vocabulary, maybe, which a GGUF file lacks.
  bool may_be_cut = false;

  uint64_t cols() const { return dims[0]; }
  uint64_t rows() const;  // of all matrices together; of a vector 1
};

class ComparedModel {
 public:
  // Of a GGUF file keys are its names, whatever is asked for. Errors: those of GgufSource::Open,
  // HfConfig::Read, HfWeights::Open, CheckPackingIsSaid, PackedWeights::Open; kNotImplemented for
  // weights that are quantized in a way that we do not read; kValidationFailed for a type that is
  // not decoded, with keys of GGUF for a directory of an architecture that is not known, and those
  // of PlanTensors.
  static absl::StatusOr<std::unique_ptr<const ComparedModel>> Open(const LocatedModel& model,
                                                                   TensorKeys keys);
  virtual ~ComparedModel() = default;

  std::span<const ComparedTensor> tensors() const { return tensors_; }
  bool is_directory() const { return is_directory_; }
  // Null where no row of the table is its. In a GGUF file several may have the name: the first.
  const Architecture* architecture() const { return architecture_; }
  // Rows of a value head; 0 where the model does not tell.
  uint64_t head_dim() const { return head_dim_; }

  // Rows [first, first + rows) of a tensor. Errors: kIo; kValidationFailed where a file has shrunk
  // or what is packed is damaged.
  virtual absl::Status ReadRows(size_t tensor, uint64_t first, uint64_t rows,
                                std::vector<float>& values) const = 0;

 protected:
  std::vector<ComparedTensor> tensors_;
  bool is_directory_ = false;
  const Architecture* architecture_ = nullptr;
  uint64_t head_dim_ = 0;
};

}  // namespace quantized
