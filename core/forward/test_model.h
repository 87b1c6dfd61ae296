// For tests: the tiny models of tests/golden/data/activations, open, and sources that differ from
// theirs. Each has a hidden size of 32 and a vocabulary of 96 ids.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/arch/architecture.h"
#include "core/base/check.h"
#include "core/forward/forward_config.h"
#include "core/forward/hf_tensor_source.h"
#include "core/forward/layer_walk.h"
#include "core/forward/tensor_source.h"
#include "core/hf/config.h"
#include "tests/support/paths.h"

namespace quantized::testing {

// One of each family, and of each way in which their layers differ.
inline constexpr std::string_view kFamilyModels[] = {
    "llama",  "llama-bias-untied", "mistral-window", "qwen2-window", "qwen3",    "gemma2",
    "gemma3", "phi3-short",        "phi3-long",      "mixtral",      "qwen3-moe"};

// For INSTANTIATE_TEST_SUITE_P over them.
inline std::string NameOfFamilyModel(const ::testing::TestParamInfo<std::string_view>& info) {
  std::string name(info.param);
  std::ranges::replace(name, '-', '_');
  return name;
}

class OpenModel {
 public:
  explicit OpenModel(std::string_view name) {
    const std::filesystem::path directory = GoldenDir() / "activations/models" / name;
    hf_config_ = std::make_unique<HfConfig>(*HfConfig::Read(directory));
    architecture_ = FindArchitecture(hf_config_->architecture());
    CHECK(architecture_ != nullptr);
    config_ = std::make_unique<ForwardConfig>(*ForwardConfigOf(*architecture_, *hf_config_));
    source_ = *HfTensorSource::Open(directory, *architecture_);
  }

  const HfConfig& hf_config() const { return *hf_config_; }
  const Architecture& architecture() const { return *architecture_; }
  const ForwardConfig& config() const { return *config_; }
  const HfTensorSource& source() const { return *source_; }

 private:
  // Behind pointers: they point to each other, and walks to them.
  std::unique_ptr<HfConfig> hf_config_;
  const Architecture* architecture_ = nullptr;
  std::unique_ptr<ForwardConfig> config_;
  std::unique_ptr<HfTensorSource> source_;
};

// A source whose tensors are hidden, misshapen or have other values.
class AlteredSource : public TensorSource {
 public:
  explicit AlteredSource(const TensorSource& source) : source_(source) {}

  std::string hidden;  // the plain name of a tensor that is not there
  std::string misshapen;
  // Called with the checkpoint's name of a tensor and the values read from it.
  std::function<void(const std::string&, std::span<float>)> alter;

  const Tensor* Find(std::string_view name) const override {
    const Tensor* tensor = name == hidden ? nullptr : source_.Find(name);
    if (tensor == nullptr || name != misshapen) return tensor;
    wrong_ = std::make_unique<Tensor>(*tensor);
    wrong_->shape.back() += 1;
    return wrong_.get();
  }
  absl::Status ReadRows(const Tensor& tensor, uint64_t first, uint64_t count,
                        float* out) const override {
    const absl::Status status = source_.ReadRows(tensor, first, count, out);
    if (status.ok() && alter) alter(tensor.name, {out, count * tensor.shape.back()});
    return status;
  }

 private:
  const TensorSource& source_;
  mutable std::unique_ptr<Tensor> wrong_;
};

// Ids below 96, other ones for each seed.
inline std::vector<std::vector<uint32_t>> TestWindows(size_t count, size_t length,
                                                      uint32_t seed = 1) {
  std::vector<std::vector<uint32_t>> windows(count, std::vector<uint32_t>(length));
  uint32_t state = seed;
  for (auto& window : windows) {
    for (uint32_t& id : window) {
      state = state * 1664525u + 1013904223u;
      id = (state >> 16) % 96;
    }
  }
  return windows;
}

inline std::vector<float> HiddenOf(const LayerWalk& walk) {
  const ActivationStore& hidden = walk.hidden();
  std::vector<float> values(hidden.rows() * hidden.width());
  CHECK(hidden.Read(0, hidden.rows(), values.data()).ok());
  return values;
}

}  // namespace quantized::testing
