// The tensors of a Hugging Face directory that are float16, bfloat16 or float32; others count as
// not there.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "core/arch/architecture.h"
#include "core/forward/tensor_source.h"
#include "core/source/hf_weights.h"

namespace quantized {

class HfTensorSource : public TensorSource {
 public:
  // Errors: those of HfWeights::Open; kValidationFailed for two tensors of the same plain name.
  static absl::StatusOr<std::unique_ptr<HfTensorSource>> Open(
      const std::filesystem::path& directory, const Architecture& architecture);

  const Tensor* Find(std::string_view name) const override;
  // In the order of weights().
  const std::vector<const Tensor*>& tensors() const { return order_; }
  absl::Status ReadRows(const Tensor& tensor, uint64_t first, uint64_t count,
                        float* out) const override;

  const HfWeights& weights() const { return *weights_; }

 private:
  struct Stored : Tensor {
    HfWeights::Tensor source;
  };

  explicit HfTensorSource(std::unique_ptr<HfWeights> weights) : weights_(std::move(weights)) {}

  std::unique_ptr<HfWeights> weights_;
  std::map<std::string, Stored, std::less<>> tensors_;  // by plain name
  std::vector<const Tensor*> order_;
};

}  // namespace quantized
