// For tests: a small Hugging Face directory with the tokenizer of a committed one, made anew, whose
// widths are what AWQ and GPTQ files can hold.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "kernels/types/half.h"
#include "tests/support/paths.h"
#include "tests/support/safetensors_file.h"

namespace quantized::testing {

inline constexpr uint32_t kDirectoryVocabulary = 406;  // tokens of the tokenizer

struct DirectoryModel {
  uint32_t layers = 3, hidden = 64, feed_forward = 96, heads = 4, kv_heads = 2, head_dim = 16;
  uint32_t experts = 0;                        // more than 0: Mixtral, else Llama
  bool biases = false;                         // of attention
  bool tied = false;                           // lm_head is there all the same
  uint32_t vocabulary = kDirectoryVocabulary;  // rows of embedding and head
  // Called with each tensor before it is rounded to float16.
  std::function<void(const std::string&, std::span<float>)> alter;
};

// Short documents that differ, as calibration data.
inline void WriteDocuments(const std::filesystem::path& path, int count) {
  std::ofstream text(path);
  for (int i = 0; i < count; ++i) {
    text << "Number " << i << " of the documents: the quick brown fox jumps over " << i * 37 % 11
         << " lazy dogs, and then it counts to " << i * i << ".\n\n";
  }
}

// Layers come last to first, and before what is outside them: a plan has to sort.
inline void WriteDirectoryModel(const std::filesystem::path& directory,
                                const DirectoryModel& model = {}) {
  namespace fs = std::filesystem;
  fs::create_directories(directory);
  const fs::path tokenizer = GoldenDir() / "hf2gguf/models/Llama-3.9-1B-Instruct";
  for (const char* file : {"tokenizer.json", "tokenizer_config.json", "generation_config.json"}) {
    fs::copy(tokenizer / file, directory / file);
  }
  nlohmann::json config = {
      {"architectures", {model.experts > 0 ? "MixtralForCausalLM" : "LlamaForCausalLM"}},
      {"model_type", model.experts > 0 ? "mixtral" : "llama"},
      {"hidden_size", model.hidden},
      {"intermediate_size", model.feed_forward},
      {"num_hidden_layers", model.layers},
      {"num_attention_heads", model.heads},
      {"num_key_value_heads", model.kv_heads},
      {"head_dim", model.head_dim},
      {"max_position_embeddings", 2048},
      {"rms_norm_eps", 1e-5},
      {"vocab_size", model.vocabulary},
      {"bos_token_id", 1},
      {"eos_token_id", 2},
      {"rope_theta", 10000.0},
      {"tie_word_embeddings", model.tied},
      {"torch_dtype", "float16"}};
  if (model.experts > 0) {
    config["num_local_experts"] = model.experts;
    config["num_experts_per_tok"] = 2;
  }
  std::ofstream(directory / "config.json") << config.dump(2);

  SafetensorsFile file;
  std::mt19937 random(7);
  const auto add = [&](const std::string& name, std::vector<uint64_t> shape, float mean,
                       float deviation) {
    uint64_t count = 1;
    for (const uint64_t dim : shape) count *= dim;
    std::vector<float> values(count);
    std::normal_distribution<float> normal(mean, deviation);
    for (float& value : values) value = normal(random);
    if (model.alter) model.alter(name, values);
    std::string bytes(count * sizeof(uint16_t), '\0');
    for (uint64_t i = 0; i < count; ++i) {
      const uint16_t half = kernels::F32ToF16(values[i]);
      std::memcpy(bytes.data() + i * sizeof(half), &half, sizeof(half));
    }
    file.Add(name, "F16", shape, bytes);
  };
  const uint64_t hidden = model.hidden, width = model.feed_forward;
  const uint64_t query = uint64_t{model.heads} * model.head_dim;
  const uint64_t key = uint64_t{model.kv_heads} * model.head_dim;
  for (uint32_t layer = model.layers; layer-- > 0;) {
    const std::string prefix = "model.layers." + std::to_string(layer) + ".";
    const auto linear = [&](const std::string& name, uint64_t out, uint64_t in) {
      add(prefix + name + ".weight", {out, in}, 0, 1 / std::sqrt(static_cast<float>(in)));
      if (model.biases && name.starts_with("self_attn")) {
        add(prefix + name + ".bias", {out}, 0, 0.1f);
      }
    };
    add(prefix + "input_layernorm.weight", {hidden}, 1, 0.2f);
    linear("self_attn.q_proj", query, hidden);
    linear("self_attn.k_proj", key, hidden);
    linear("self_attn.v_proj", key, hidden);
    linear("self_attn.o_proj", hidden, query);
    add(prefix + "post_attention_layernorm.weight", {hidden}, 1, 0.2f);
    if (model.experts == 0) {
      linear("mlp.gate_proj", width, hidden);
      linear("mlp.up_proj", width, hidden);
      linear("mlp.down_proj", hidden, width);
      continue;
    }
    linear("block_sparse_moe.gate", model.experts, hidden);
    for (uint32_t expert = 0; expert < model.experts; ++expert) {
      const std::string name = "block_sparse_moe.experts." + std::to_string(expert) + ".";
      linear(name + "w1", width, hidden);
      linear(name + "w2", hidden, width);
      linear(name + "w3", width, hidden);
    }
  }
  add("lm_head.weight", {model.vocabulary, hidden}, 0, 0.3f);
  add("model.norm.weight", {hidden}, 1, 0.2f);
  add("model.embed_tokens.weight", {model.vocabulary, hidden}, 0, 1);
  file.WriteTo(directory / "model.safetensors");
}

}  // namespace quantized::testing
