#include "core/source/packed_weights.h"

#include <algorithm>
#include <cstring>
#include <mutex>
#include <unordered_map>
#include <utility>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"

namespace quantized {
namespace {

using kernels::TypeId;

// Threads that read in order are at work in one linear, or at the seam of two.
constexpr size_t kKept = 4;

uint64_t UnpackedBytes(const PackedModule& module) {
  return uint64_t{module.out} * module.in +
         uint64_t{module.out} * (module.in / module.group_size) * (sizeof(float) + 1);
}

}  // namespace

struct PackedWeights::Entry {
  explicit Entry(size_t index) : module(index) {}

  const size_t module;
  std::once_flag once;
  absl::Status status;
  std::shared_ptr<const QuantizedLinear> linear;
};

PackedWeights::PackedWeights(const HfWeights& weights, const PackedScheme& scheme)
    : weights_(weights), scheme_(scheme), store_(weights) {}

absl::StatusOr<std::unique_ptr<PackedWeights>> PackedWeights::Open(const HfWeights& weights,
                                                                   const PackedScheme& scheme) {
  std::unique_ptr<PackedWeights> packed(new PackedWeights(weights, scheme));
  ASSIGN_OR_RETURN(packed->modules_, ListPackedModules(scheme, packed->store_));
  return packed;
}

std::shared_ptr<PackedWeights::Entry> PackedWeights::EntryOf(size_t module) const {
  const MutexLock lock(mutex_);
  auto found = std::ranges::find(latest_, module, [](const auto& entry) { return entry->module; });
  if (found == latest_.end()) {
    latest_.push_front(std::make_shared<Entry>(module));
    if (latest_.size() > kKept) latest_.pop_back();
  } else {
    latest_.splice(latest_.begin(), latest_, found);
  }
  return latest_.front();
}

absl::StatusOr<std::shared_ptr<const QuantizedLinear>> PackedWeights::Load(size_t module) const {
  CHECK(module < modules_.size());
  const std::shared_ptr<Entry> entry = EntryOf(module);
  std::call_once(entry->once, [&] {
    auto linear = LoadPackedModule(scheme_, store_, modules_[module]);
    entry->status = linear.status();
    if (linear.ok()) entry->linear = std::make_shared<const QuantizedLinear>(*std::move(linear));
  });
  RETURN_IF_ERROR(entry->status);
  return entry->linear;
}

absl::StatusOr<QuantizedLinear> PackedWeights::LoadGrid(size_t module) const {
  CHECK(module < modules_.size());
  return LoadPackedGrid(scheme_, store_, modules_[module]);
}

absl::StatusOr<std::vector<BlockFittingOfAll>> PackedWeights::BlockFits() const {
  std::vector<BlockFittingOfAll> fits(BlockTypes().size());
  for (BlockFittingOfAll& fit : fits) fit.fit = BlockFit::kExact;
  for (size_t module = 0; module < modules_.size(); ++module) {
    ASSIGN_OR_RETURN(const QuantizedLinear grid, LoadGrid(module));
    for (size_t i = 0; i < fits.size(); ++i) {
      BlockFitting fit = FitOf(grid, BlockTypes()[i]);
      if (fit.fit > fits[i].fit) fits[i] = {std::move(fit), modules_[module].name};
    }
  }
  return fits;
}

absl::Status PackedWeights::Read(size_t module, TypeId type, uint64_t first_byte,
                                 std::span<std::byte> out) const {
  ASSIGN_OR_RETURN(const std::shared_ptr<const QuantizedLinear> linear, Load(module));
  const uint64_t row_bytes = kernels::RowBytes(kernels::QuantTypeOf(type), linear->in);
  CHECK(first_byte % row_bytes == 0 && out.size() % row_bytes == 0);
  const uint64_t first = first_byte / row_bytes, count = out.size() / row_bytes;
  if (type != TypeId::kF32) {
    WriteBlocks(*linear, type, first, count, out.data());
    return absl::OkStatus();
  }
  std::vector<float> row(linear->in);
  for (uint64_t i = 0; i < count; ++i) {
    linear->Dequantize(first + i, 1, row.data());
    std::memcpy(out.data() + i * row_bytes, row.data(), row_bytes);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<CheckpointTensor>> PackedWeights::Tensors(TypeId type) const {
  std::unordered_map<std::string_view, size_t> modules;
  for (size_t i = 0; i < modules_.size(); ++i) modules.emplace(modules_[i].name, i);
  std::vector<CheckpointTensor> tensors;
  for (const HfWeights::Tensor& tensor : weights_.tensors()) {
    const std::string_view name = tensor.info->name;
    const size_t dot = std::min(name.rfind('.'), name.size());
    const auto found = modules.find(name.substr(0, dot));
    const std::string_view suffix = name.substr(std::min(dot + 1, name.size()));
    if (found == modules.end() || suffix == "bias") {
      tensors.push_back(PlainTensor(tensor));
      continue;
    }
    if (suffix == "weight") {
      return MakeError(Error::kValidationFailed,
                       StrCat(tensor.Origin(), ": found beside the packed tensors of this linear"));
    }
    if (suffix != "qweight") continue;
    const size_t index = found->second;
    const PackedModule& module = modules_[index];
    CheckpointTensor& weight = tensors.emplace_back();
    weight.name = StrCat(module.name, ".weight");
    weight.shape = {module.out, module.in};
    weight.file = tensor.file->bytes().name();
    if (type != TypeId::kF32) weight.blocks = type;
    weight.read = [this, index, type](uint64_t first_byte, std::span<std::byte> out) {
      return Read(index, type, first_byte, out);
    };
  }
  return tensors;
}

uint64_t PackedWeights::MemoryBytes() const {
  uint64_t largest = 0;
  for (const PackedModule& module : modules_) largest = std::max(largest, UnpackedBytes(module));
  return kKept * largest;
}

}  // namespace quantized
