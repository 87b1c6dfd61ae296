// Fuzz target: the configuration of an AWQ or GPTQ checkpoint and one layer's tensors. What the
// reader accepts fits together, and packing what it has read gives a layer that reads back alike.
// Input: the JSON text of quantization_config up to a zero byte; then, for each of qweight, qzeros,
// scales and g_idx, a byte of dtype (255: no such tensor), a byte with the number of dimensions,
// two bytes for each of them, little-endian, and the data of all, padded with zeros.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/check.h"
#include "core/hf/json_file.h"
#include "core/packed/awq.h"
#include "core/packed/gptq.h"
#include "core/packed/reader.h"
#include "core/tensor/dtype.h"
#include "core/tensor/shape.h"

namespace quantized {
namespace {

constexpr uint64_t kMaxTensorBytes = 1 << 16;
constexpr std::string_view kSuffixes[] = {"qweight", "qzeros", "scales", "g_idx"};

// Takes bytes from the front; zeros when there are no more.
class Input {
 public:
  explicit Input(std::span<const uint8_t> bytes) : bytes_(bytes) {}
  uint8_t Byte() {
    if (bytes_.empty()) return 0;
    const uint8_t byte = bytes_.front();
    bytes_ = bytes_.subspan(1);
    return byte;
  }

 private:
  std::span<const uint8_t> bytes_;
};

class FuzzStore : public TensorStore {
 public:
  // False where a tensor is larger than the target is ready to hold.
  bool Fill(Input input) {
    for (const std::string_view suffix : kSuffixes) {
      const uint8_t dtype = input.Byte();
      if (dtype == 255) continue;
      Tensor tensor;
      tensor.dtype = AllDTypes()[dtype % AllDTypes().size()].dtype;
      tensor.shape.resize(input.Byte() % 4);
      for (uint64_t& dim : tensor.shape) {
        dim = input.Byte();
        dim |= static_cast<uint64_t>(input.Byte()) << 8;
      }
      tensor.size_bytes = *ElementCount(tensor.shape) * RowOf(tensor.dtype).size_bytes;
      if (tensor.size_bytes > kMaxTensorBytes) return false;
      tensors_["m." + std::string(suffix)] = {tensor, {}};
    }
    for (auto& [name, entry] : tensors_) {
      entry.bytes.resize(entry.info.size_bytes);
      for (std::byte& byte : entry.bytes) byte = std::byte{input.Byte()};
    }
    return true;
  }

  std::vector<std::string> Names() const override {
    std::vector<std::string> names;
    for (const auto& [name, entry] : tensors_) names.push_back(name);
    return names;
  }
  std::optional<Tensor> Find(std::string_view name) const override {
    const auto found = tensors_.find(std::string(name));
    if (found == tensors_.end()) return std::nullopt;
    return found->second.info;
  }
  absl::Status Read(std::string_view name, std::span<std::byte> out) const override {
    const std::vector<std::byte>& bytes = tensors_.at(std::string(name)).bytes;
    CHECK(out.size() == bytes.size());
    std::copy(bytes.begin(), bytes.end(), out.begin());
    return absl::OkStatus();
  }

 private:
  struct Entry {
    Tensor info;
    std::vector<std::byte> bytes;
  };
  std::map<std::string, Entry> tensors_;
};

void CheckLinear(const QuantizedLinear& linear, const PackedModule& module) {
  CHECK(linear.out == module.out && linear.in == module.in && linear.bits == module.bits);
  CHECK(linear.group_size == module.group_size && linear.in % linear.group_size == 0);
  CHECK(linear.codes.size() == linear.out * linear.in);
  CHECK(linear.zeros.size() == linear.out * linear.groups());
  CHECK(std::ranges::all_of(linear.codes, [&](uint8_t code) { return code <= linear.max_code(); }));
  CHECK(std::ranges::all_of(linear.zeros, [&](uint8_t zero) { return zero <= linear.max_code(); }));
  CHECK(linear.group_of.empty() || linear.group_of.size() == linear.in);
  for (const uint32_t group : linear.group_of) CHECK(group < linear.groups());
  std::vector<float> weights(linear.in);
  linear.Dequantize(linear.out - 1, 1, weights.data());
}

void CheckReadsBack(const PackedScheme& scheme, const QuantizedLinear& linear) {
  const bool is_awq = scheme.method == PackedMethod::kAwq;
  const auto packed = is_awq ? PackAwq("m", linear) : PackGptq("m", linear, GptqVersion::kV2);
  if (!packed.ok()) return;  // scales that float16 does not hold, sizes only readers take
  const auto group_size = static_cast<int64_t>(linear.group_size);
  const auto back =
      is_awq ? UnpackAwq("m", *packed, group_size)
             : UnpackGptq(
                   "m", *packed,
                   {.bits = linear.bits, .group_size = group_size, .version = GptqVersion::kV2});
  CHECK(back.ok());
  CHECK(back->codes == linear.codes && back->zeros == linear.zeros);
  CHECK(back->group_of == linear.group_of && back->scales.values == linear.scales.values);
}

}  // namespace
}  // namespace quantized

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace quantized;
  const uint8_t* end = std::find(data, data + size, 0);
  const std::string_view text(reinterpret_cast<const char*>(data), static_cast<size_t>(end - data));
  const auto config = ParseJson(text, "config.json");
  if (!config.ok()) return 0;
  const auto scheme = ParsePackedScheme(*config, "config.json: quantization_config");
  if (!scheme.ok() || !scheme->has_value()) return 0;
  FuzzStore store;
  if (end == data + size || !store.Fill(Input(std::span(end + 1, data + size)))) return 0;
  const auto modules = ListPackedModules(**scheme, store);
  if (!modules.ok()) return 0;
  for (const PackedModule& module : *modules) {
    const auto linear = LoadPackedModule(**scheme, store, module);
    if (!linear.ok()) continue;
    CheckLinear(*linear, module);
    CheckReadsBack(**scheme, *linear);
  }
  return 0;
}
