// For tests: a small Hugging Face directory of any architecture, with configuration and tokenizer
// of a committed one, random weights and widths that AWQ and GPTQ files can hold.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/arch/architecture.h"
#include "core/arch/geometry.h"
#include "core/arch/tensor_names.h"
#include "core/base/file.h"
#include "core/hf/config.h"
#include "kernels/types/half.h"
#include "tests/support/paths.h"
#include "tests/support/safetensors_file.h"

namespace quantized::testing {

// Called with each tensor before it is rounded to float16.
using AlterTensor = std::function<void(const std::string& name, std::span<const uint64_t> shape,
                                       std::span<float> values)>;

inline void WriteArchitectureConfig(const Architecture& architecture,
                                    const std::filesystem::path& directory) {
  struct Example {
    std::string_view hf_name, folder;
  };
  constexpr Example kExamples[] = {{"LlamaForCausalLM", "Llama-3.9-1B-Instruct"},
                                   {"MistralForCausalLM", "mistral-no-head-dim"},
                                   {"Qwen2ForCausalLM", "qwen2-yarn"},
                                   {"Qwen3ForCausalLM", "Qwen3-Embedding-0.6B"},
                                   {"Gemma3ForCausalLM", "gemma-3-f16"},
                                   {"Gemma2ForCausalLM", "gemma-2-f16"},
                                   {"Phi3ForCausalLM", "Phi-4-bpe"},
                                   {"MixtralForCausalLM", "Mixtral-sharded"},
                                   {"Qwen3MoeForCausalLM", "Qwen3-MoE-tied"}};
  const auto example = std::ranges::find_if(kExamples, [&](const Example& one) {
    return FindArchitecture(one.hf_name) == &architecture;
  });
  ASSERT_NE(example, std::end(kExamples)) << "there is no example of it";
  const std::filesystem::path folder = GoldenDir() / "hf2gguf/models" / example->folder;
  std::filesystem::create_directories(directory);
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string name = entry.path().filename();
    if (name.find("token") != std::string::npos) {
      std::filesystem::copy(entry.path(), directory / name);
    }
  }
  nlohmann::json config = nlohmann::json::parse(*ReadFile(folder / "config.json", 1 << 20));
  config.erase("attention_bias");
  config.update({{"hidden_size", 64},
                 {"intermediate_size", 96},
                 {"num_attention_heads", 4},
                 {"num_key_value_heads", 2},
                 {"head_dim", 16},
                 {"tie_word_embeddings", false},
                 {"torch_dtype", "float16"}});
  if (config.contains("num_local_experts")) config["num_local_experts"] = 3;
  if (config.contains("num_experts")) {
    config.update({{"num_experts", 3}, {"num_experts_per_tok", 2}, {"moe_intermediate_size", 32}});
  }
  std::ofstream(directory / "config.json") << config.dump(2);
}

// Of Qwen 2 with the biases that it always has.
inline void WriteArchitectureModel(const Architecture& architecture,
                                   const std::filesystem::path& directory,
                                   const AlterTensor& alter) {
  ASSERT_NO_FATAL_FAILURE(WriteArchitectureConfig(architecture, directory));
  const Geometry geometry = *GeometryOf(*HfConfig::Read(directory));
  SafetensorsFile file;
  std::mt19937 random(3);
  const auto add = [&](const std::string& name, const std::vector<uint64_t>& shape) {
    uint64_t count = 1;
    for (const uint64_t dim : shape) count *= dim;
    std::normal_distribution<float> normal(shape.size() == 1 ? 0.5f : 0, 0.1f);
    std::vector<float> values(count);
    for (float& value : values) value = normal(random);
    alter(name, shape, values);
    std::string bytes(count * sizeof(uint16_t), '\0');
    for (uint64_t i = 0; i < count; ++i) {
      const uint16_t half = kernels::F32ToF16(values[i]);
      std::memcpy(bytes.data() + i * sizeof(half), &half, sizeof(half));
    }
    file.Add(name, "F16", shape, bytes);
  };
  for (const TensorRule& rule : architecture.tensors) {
    if (rule.gguf.empty()) continue;
    const bool is_in_layer = rule.hf.find("{i}") != std::string_view::npos;
    const bool has_bias = architecture.model_type == "qwen2" && rule.rows != Dim::kNone &&
                          rule.hf.find("self_attn") != std::string_view::npos &&
                          !rule.hf.ends_with("o_proj");
    for (uint32_t layer = 0; layer < (is_in_layer ? geometry.layers : 1); ++layer) {
      for (uint32_t expert = 0; expert < (IsStacked(rule) ? geometry.experts : 1); ++expert) {
        const std::string name = CheckpointName(rule, layer, expert);
        add(name, ShapeOf(rule, /*is_bias=*/false, geometry));
        if (!has_bias) continue;
        add(name.substr(0, name.rfind('.')) + ".bias", ShapeOf(rule, /*is_bias=*/true, geometry));
      }
    }
  }
  file.WriteTo(directory / "model.safetensors");
}

}  // namespace quantized::testing
