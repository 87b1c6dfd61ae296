// The tensors of a Hugging Face directory's safetensors files, in the order in which the reference
// converter meets them: files by name, names in byte order within a file; a name that stands in two
// files keeps its first place and is read from the later file. Thread-safe: any thread may call
// const methods.
#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/base/sha256.h"
#include "core/safetensors/reader.h"

namespace quantized {

class HfWeights {
 public:
  struct Tensor {
    const safetensors::SafetensorsReader* file;
    const safetensors::TensorInfo* info;  // of `file`

    std::string Origin() const;  // "model.safetensors: model.norm.weight"
  };

  // Opens every file and checks the index against them. Errors: those of FindWeightFiles,
  // CheckIndexAgrees and SafetensorsReader::Open.
  static absl::StatusOr<std::unique_ptr<HfWeights>> Open(const std::filesystem::path& directory);

  std::span<const Tensor> tensors() const { return tensors_; }
  // Feeds size, modification time and header of every file.
  absl::Status Fingerprint(Sha256& hash) const;

 private:
  explicit HfWeights(std::filesystem::path directory) : directory_(std::move(directory)) {}

  const std::filesystem::path directory_;
  std::vector<std::unique_ptr<safetensors::SafetensorsReader>> files_;
  std::vector<Tensor> tensors_;
};

}  // namespace quantized
