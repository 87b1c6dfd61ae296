#include "core/forward/packed_tensor_source.h"

#include <optional>
#include <span>
#include <unordered_map>
#include <utility>

#include "core/arch/tensor_names.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/source/weights_store.h"

namespace quantized {
absl::StatusOr<std::unique_ptr<PackedTensorSource>> PackedTensorSource::Open(
    const std::filesystem::path& directory, const Architecture& architecture,
    const PackedScheme& scheme) {
  std::unique_ptr<PackedTensorSource> source(new PackedTensorSource());
  source->scheme_ = scheme;
  ASSIGN_OR_RETURN(source->plain_, HfTensorSource::Open(directory, architecture));
  source->store_ = std::make_unique<WeightsStore>(source->plain_->weights());
  ASSIGN_OR_RETURN(source->modules_, ListPackedModules(scheme, *source->store_));
  for (size_t i = 0; i < source->modules_.size(); ++i) {
    const PackedModule& module = source->modules_[i];
    Packed packed;
    packed.name = StrCat(module.name, ".weight");
    packed.shape = {module.out, module.in};
    packed.type = StrCat(module.bits, "-bit");
    packed.module = i;
    std::string plain = PlainName(architecture, packed.name);
    source->packed_.emplace(std::move(plain), std::move(packed));
  }
  return source;
}

const TensorSource::Tensor* PackedTensorSource::Find(std::string_view name) const {
  const auto found = packed_.find(name);
  return found == packed_.end() ? plain_->Find(name) : &found->second;
}

absl::StatusOr<QuantizedLinear> PackedTensorSource::Load(const PackedModule& module) const {
  return LoadPackedModule(scheme_, *store_, module);
}

absl::Status PackedTensorSource::ReadRows(const Tensor& tensor, uint64_t first, uint64_t count,
                                          float* out) const {
  const auto* packed = dynamic_cast<const Packed*>(&tensor);
  if (packed == nullptr) return plain_->ReadRows(tensor, first, count, out);
  ASSIGN_OR_RETURN(const QuantizedLinear linear, Load(modules_[packed->module]));
  linear.Dequantize(first, count, out);
  return absl::OkStatus();
}

}  // namespace quantized
