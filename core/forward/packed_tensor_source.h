// The tensors of an AWQ or GPTQ directory, its linears decoded to what loaders compute with:
// (code - zero) * scale in float.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/arch/architecture.h"
#include "core/forward/hf_tensor_source.h"
#include "core/forward/tensor_source.h"
#include "core/packed/reader.h"

namespace quantized {

class PackedTensorSource : public TensorSource {
 public:
  // Errors: those of HfTensorSource::Open and ListPackedModules.
  static absl::StatusOr<std::unique_ptr<PackedTensorSource>> Open(
      const std::filesystem::path& directory, const Architecture& architecture,
      const PackedScheme& scheme);

  const Tensor* Find(std::string_view name) const override;
  // A packed linear is unpacked wholly at each call. Errors: those of LoadPackedModule, too.
  absl::Status ReadRows(const Tensor& tensor, uint64_t first, uint64_t count,
                        float* out) const override;

  const std::vector<PackedModule>& modules() const { return modules_; }
  // One of modules().
  absl::StatusOr<QuantizedLinear> Load(const PackedModule& module) const;

 private:
  struct Packed : Tensor {
    size_t module;
  };

  PackedTensorSource() = default;

  PackedScheme scheme_;
  std::unique_ptr<HfTensorSource> plain_;
  std::unique_ptr<TensorStore> store_;
  std::vector<PackedModule> modules_;
  std::map<std::string, Packed, std::less<>> packed_;  // by plain name of the weight
};

}  // namespace quantized
