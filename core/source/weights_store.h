// The tensors of a Hugging Face directory by name, as core/packed reads them.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/packed/reader.h"
#include "core/source/hf_weights.h"

namespace quantized {

class WeightsStore : public TensorStore {
 public:
  // `weights` must outlive *this.
  explicit WeightsStore(const HfWeights& weights);

  std::vector<std::string> Names() const override;
  std::optional<Tensor> Find(std::string_view name) const override;
  absl::Status Read(std::string_view name, std::span<std::byte> out) const override;

 private:
  std::unordered_map<std::string, HfWeights::Tensor> tensors_;
};

}  // namespace quantized
