// For tests: a model source whose metadata and tensors can be changed.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/arch/architecture.h"
#include "core/arch/geometry.h"
#include "core/arch/metadata_keys.h"
#include "core/hf/config.h"
#include "core/source/checkpoint_tensor.h"
#include "core/source/hf_tensors.h"
#include "core/source/hf_weights.h"
#include "core/source/model_source.h"

namespace quantized::testing {

class TestSource : public ModelSource {
 public:
  gguf::Metadata keys;
  std::vector<SourceTensor> list;
  std::map<std::string, std::vector<float>, std::less<>> values;  // of those that may be read

  const ModelSummary& summary() const override { return summary_; }
  const gguf::Metadata& metadata() const override { return keys; }
  std::span<const SourceTensor> tensors() const override { return list; }
  absl::Status ReadRows(size_t tensor, uint64_t first_row, uint64_t rows,
                        std::span<std::byte> out) const override {
    const std::vector<float>& all = values.at(list[tensor].name);
    EXPECT_EQ(first_row, 0u);
    EXPECT_EQ(rows, 1u);
    EXPECT_EQ(out.size(), all.size() * sizeof(float));
    std::memcpy(out.data(), all.data(), out.size());
    return absl::OkStatus();
  }
  const std::string& fingerprint() const override { return fingerprint_; }
  bool is_conversion() const override { return false; }

  // Null where there is none.
  SourceTensor* Find(std::string_view name) {
    const auto found = std::ranges::find(list, name, &SourceTensor::name);
    return found == list.end() ? nullptr : &*found;
  }
  void Remove(std::string_view name) {
    std::erase_if(list, [&](const SourceTensor& tensor) { return tensor.name == name; });
  }

 private:
  ModelSummary summary_;
  std::string fingerprint_;
};

// What `source` offers; of tensors' values those that a conversion generates.
inline TestSource CopyOf(const ModelSource& source) {
  TestSource copy;
  copy.keys = source.metadata();
  copy.list.assign(source.tensors().begin(), source.tensors().end());
  for (size_t i = 0; i < copy.list.size(); ++i) {
    if (!copy.list[i].name.starts_with("rope_")) continue;
    std::vector<float> values(copy.list[i].cols());
    EXPECT_TRUE(source.ReadRows(i, 0, 1, std::as_writable_bytes(std::span(values))).ok());
    copy.values.emplace(copy.list[i].name, std::move(values));
  }
  return copy;
}

// The architecture's keys and the tensors of a directory that needs no tokenizer.
inline TestSource SourceOfDirectory(const std::filesystem::path& directory) {
  const HfConfig config = *HfConfig::Read(directory);
  const Architecture& architecture = *FindArchitecture(config.architecture());
  const auto weights = *HfWeights::Open(directory);
  const PlannedTensors planned = *PlanTensors(architecture, config, *GeometryOf(config),
                                              PlainTensors(*weights), kernels::TypeId::kF32);
  TestSource source;
  source.keys.Set("general.architecture", std::string(architecture.gguf_name));
  EXPECT_TRUE(AppendLongRopeMetadata(architecture, config, source.keys).ok());
  EXPECT_TRUE(AppendArchitectureMetadata(architecture, config, 0, source.keys).ok());
  source.list = planned.tensors;
  for (size_t i = 0; i < source.list.size(); ++i) {
    if (!source.list[i].name.starts_with("rope_")) continue;
    const ConvertedTensor& converted = planned.converted[i];
    std::vector<float> values(converted.rows * converted.cols);
    EXPECT_TRUE(converted.Read(0, converted.rows, std::as_writable_bytes(std::span(values))).ok());
    source.values.emplace(source.list[i].name, std::move(values));
  }
  return source;
}

}  // namespace quantized::testing
