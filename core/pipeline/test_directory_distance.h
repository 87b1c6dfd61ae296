// For tests: how far an AWQ or GPTQ directory is from the model that it was made of, in its weights
// and in what it predicts.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "core/arch/architecture.h"
#include "core/base/job_context.h"
#include "core/base/thread_pool.h"
#include "core/forward/forward_config.h"
#include "core/forward/hf_tensor_source.h"
#include "core/forward/model_comparison.h"
#include "core/forward/packed_tensor_source.h"
#include "core/forward/tensor_source.h"
#include "core/hf/config.h"
#include "core/packed/reader.h"
#include "core/pipeline/test_directory.h"
#include "core/source/hf_weights.h"
#include "tests/support/recording_sink.h"

namespace quantized::testing {

// Nats, of 4 bits. A random model answers noise with noise: 0.2 is what these come to, and two that
// have nothing to do with each other are some nats apart.
inline constexpr double kNearKl = 0.4;

struct DirectoryPair {
  std::unique_ptr<HfConfig> hf_config;
  ForwardConfig config;
  std::unique_ptr<HfTensorSource> source;
  std::unique_ptr<PackedTensorSource> packed;
};

inline DirectoryPair OpenPair(const std::filesystem::path& source,
                              const std::filesystem::path& packed) {
  DirectoryPair pair;
  pair.hf_config = std::make_unique<HfConfig>(*HfConfig::Read(source));
  const Architecture& architecture = *FindArchitecture(pair.hf_config->architecture());
  pair.config = *ForwardConfigOf(architecture, *pair.hf_config);
  pair.source = *HfTensorSource::Open(source, architecture);
  const auto scheme = PackedSchemeOf(*HfConfig::Read(packed));
  pair.packed = *PackedTensorSource::Open(packed, architecture, **scheme);
  return pair;
}

inline std::vector<float> ValuesOf(const TensorSource& source, const TensorSource::Tensor& tensor) {
  const uint64_t rows = tensor.shape.size() == 1 ? 1 : tensor.shape[0];
  std::vector<float> values(rows * tensor.shape.back());
  EXPECT_TRUE(source.ReadRows(tensor, 0, rows, values.data()).ok());
  return values;
}

// Of the source's weights, root mean square over all linears; every other tensor is the same.
inline double WeightDistance(const std::filesystem::path& source,
                             const std::filesystem::path& packed) {
  const DirectoryPair pair = OpenPair(source, packed);
  double off = 0, size = 0;
  for (const HfWeights::Tensor& tensor : pair.source->weights().tensors()) {
    const std::string name =
        tensor.info->name.substr(tensor.info->name.starts_with("model.") ? 6 : 0);
    const TensorSource::Tensor* want = pair.source->Find(name);
    const TensorSource::Tensor* got = pair.packed->Find(name);
    EXPECT_NE(got, nullptr) << name;
    if (got == nullptr) continue;
    EXPECT_EQ(got->shape, want->shape) << name;
    const std::vector<float> a = ValuesOf(*pair.source, *want), b = ValuesOf(*pair.packed, *got);
    const auto& modules = pair.packed->modules();
    const bool is_packed = std::ranges::any_of(modules, [&](const PackedModule& module) {
      return module.name + ".weight" == tensor.info->name;
    });
    if (!is_packed) {
      EXPECT_EQ(a, b) << name;
    }
    for (size_t i = 0; i < a.size() && is_packed; ++i) {
      off += std::pow(double{a[i]} - b[i], 2);
      size += std::pow(double{a[i]}, 2);
    }
  }
  return std::sqrt(off / size);
}

// Of predictions on token ids of any kind: the KL divergence from the source, in nats.
inline double PredictionDistance(const std::filesystem::path& source,
                                 const std::filesystem::path& packed) {
  const DirectoryPair pair = OpenPair(source, packed);
  std::vector<std::vector<uint32_t>> windows(4, std::vector<uint32_t>(32));
  uint32_t state = 1;
  for (auto& window : windows) {
    for (uint32_t& id : window) {
      id = (state = state * 1664525u + 1013904223u) / 65536 % kDirectoryVocabulary;
    }
  }
  ThreadPool threads(2);
  RecordingSink sink;
  JobContext context{{}, sink, threads};
  const auto result =
      CompareModels(pair.config, *pair.hf_config, *pair.source, *pair.packed, windows, {}, context);
  EXPECT_TRUE(result.ok()) << result.status();
  return result.ok() ? result->kl_divergence : 0;
}

}  // namespace quantized::testing
