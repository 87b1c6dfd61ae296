// A model and the one that it was made of, tensor by tensor: what `info --against` compares.
// Thread-safe: any thread may call const methods.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/pipeline/compared_model.h"

namespace quantized {

struct TensorPair {
  // What is shown of it: names and types of the model, even of a head that only the source has.
  std::vector<ComparedTensor::Part> parts;
  size_t in_model = 0, in_source = 0;
  std::vector<uint64_t> dims;  // GGUF order; rows that only one of them has left out

  uint64_t cols() const { return dims[0]; }
  uint64_t rows() const;     // of all matrices together; of a vector 1
  std::string Name() const;  // for messages
};

class ModelPair {
 public:
  // Two directories of which one has an unknown architecture are compared under their own names;
  // all others under those in GGUF, which say what a tensor does. Errors: those of LocateModel and
  // ComparedModel::Open; kValidationFailed for a tensor that one of the models lacks or has in
  // another shape.
  static absl::StatusOr<ModelPair> Open(const std::filesystem::path& model,
                                        const std::filesystem::path& source);

  // Every tensor of either with the other's, in the model's order; last a head that only the source
  // has. A model without an output head has its embedding in the place of one. Generated tensors
  // that one of them lacks are passed over.
  std::span<const TensorPair> pairs() const { return pairs_; }
  TensorKeys keys() const { return keys_; }
  const ComparedModel& model() const { return *model_; }
  const ComparedModel& source() const { return *source_; }
  const std::string& KeyOf(const TensorPair& pair) const {
    return model_->tensors()[pair.in_model].key;
  }

  // Calls `take` with each row's values in the model and in the source, in order; it may change
  // them. Errors: those of ReadRows; kValidationFailed for values that are no finite numbers,
  // naming tensor and model.
  using TakeRow =
      std::function<void(uint64_t row, std::span<float> found, std::span<float> wanted)>;
  absl::Status ForEachRow(const TensorPair& pair, const TakeRow& take) const;

 private:
  ModelPair(TensorKeys keys, std::unique_ptr<const ComparedModel> model,
            std::unique_ptr<const ComparedModel> source)
      : keys_(keys), model_(std::move(model)), source_(std::move(source)) {}

  absl::Status Match();
  absl::Status Add(std::vector<ComparedTensor::Part> parts, size_t in_model, size_t in_source);

  TensorKeys keys_;
  std::unique_ptr<const ComparedModel> model_, source_;
  std::vector<TensorPair> pairs_;
};

}  // namespace quantized
