// For tests: a directory that WriteDirectoryModel wrote, made an AWQ or GPTQ one, its linears
// rounded to the nearest.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/hf/config.h"
#include "core/packed/awq.h"
#include "core/packed/checkpoint_config.h"
#include "core/packed/gptq.h"
#include "core/pipeline/test_directory.h"
#include "core/quantize/round_to_nearest.h"
#include "core/source/hf_weights.h"
#include "core/source/widen.h"
#include "gtest/gtest.h"
#include "tests/support/safetensors_file.h"

namespace quantized::testing {

struct PackedChoices {
  PackedOptions options = {.group_size = 32};
  // Called with each linear before it is packed.
  std::function<void(const std::string& module, QuantizedLinear& linear)> alter = {};
  // Tensors of float16 zeros besides, by name.
  std::map<std::string, std::vector<uint64_t>> more = {};
};

inline void PackDirectory(const std::filesystem::path& directory, const PackedChoices& choices) {
  const PackedOptions& options = choices.options;
  const auto weights = *HfWeights::Open(directory);
  ThreadPool threads(2);
  GridOptions grid = {.bits = options.bits,
                      .group_size = options.group_size < 0 ? 0 : size_t(options.group_size),
                      .form = options.sym && options.method == PackedMethod::kGptq
                                  ? kernels::RangeForm::kSymmetric
                                  : kernels::RangeForm::kWithZero,
                      .avoid_zero_point_zero = options.version == GptqVersion::kV1};
  SafetensorsFile file;
  const auto add = [&](const std::string& name, DType dtype, const std::vector<uint64_t>& shape,
                       std::span<const std::byte> bytes) {
    file.Add(name, RowOf(dtype).name, shape,
             {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  };
  for (const HfWeights::Tensor& tensor : weights->tensors()) {
    const std::string& name = tensor.info->name;
    std::vector<std::byte> bytes(tensor.info->size_bytes);
    ASSERT_TRUE(tensor.file->Read(*tensor.info, 0, bytes).ok());
    const bool is_linear = name.find(".layers.") != std::string::npos &&
                           tensor.info->shape.size() == 2 && !name.ends_with(".gate.weight");
    if (!is_linear) {
      add(name, tensor.info->dtype, tensor.info->shape, bytes);
      continue;
    }
    Matrix weight(tensor.info->shape[0], tensor.info->shape[1]);
    WidenToF32(tensor.info->dtype, bytes.data(), weight.values.size(), weight.values.data());
    QuantizedLinear linear = *RoundToNearest(weight, grid, {}, threads);
    const std::string module = name.substr(0, name.rfind('.'));
    if (choices.alter) choices.alter(module, linear);
    const auto parts = options.method == PackedMethod::kAwq
                           ? PackAwq(module, linear)
                           : PackGptq(module, linear, options.version);
    ASSERT_TRUE(parts.ok()) << parts.status();
    for (const PackedTensor& part : *parts) {
      add(module + "." + std::string(part.shape.suffix), part.shape.dtype, part.shape.dims,
          part.bytes);
    }
  }
  for (const auto& [name, shape] : choices.more) {
    uint64_t size_bytes = 2;
    for (const uint64_t dim : shape) size_bytes *= dim;
    add(name, DType::kF16, shape, std::vector<std::byte>(size_bytes));
  }
  const std::string config = *OutputConfigText(HfConfig::Read(directory)->file(), options);
  std::ofstream(directory / "config.json") << config;
  file.WriteTo(directory / "model.safetensors");
}

}  // namespace quantized::testing
