#include "tests/support/narrow_model.h"

#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "nlohmann/json.hpp"
#include "tests/support/hf_models.h"
#include "tests/support/safetensors_file.h"

namespace quantized::testing {
namespace {

constexpr uint64_t kHidden = 192, kFeedForward = 320, kVocabulary = 808;
constexpr int kLayers = 2, kHeads = 3;

// Float16 of either sign from 1/128 to 1/64.
std::string RandomHalves(uint64_t count, std::mt19937& random) {
  std::string bytes(2 * count, '\0');
  for (uint64_t i = 0; i < count; ++i) {
    const auto half = static_cast<uint16_t>(0x2000 | (random() & 0x83ff));
    std::memcpy(&bytes[2 * i], &half, sizeof(half));
  }
  return bytes;
}

}  // namespace

void WriteNarrowModel(const std::filesystem::path& path) {
  namespace fs = std::filesystem;
  CopyModel(TinyModel(), path);
  for (const auto& entry : std::vector(fs::directory_iterator(path), fs::directory_iterator())) {
    if (entry.path().filename().native().starts_with("model")) fs::remove(entry.path());
  }
  EditJson(path / "config.json", [](nlohmann::json& config) {
    config["hidden_size"] = kHidden;
    config["intermediate_size"] = kFeedForward;
    config["num_attention_heads"] = kHeads;
    config["num_key_value_heads"] = kHeads;
    config["tie_word_embeddings"] = true;
  });

  std::mt19937 random(1);
  SafetensorsFile file;
  const auto add = [&](const std::string& name, std::vector<uint64_t> shape) {
    uint64_t count = 1;
    for (const uint64_t dim : shape) count *= dim;
    file.Add(name + ".weight", "F16", shape, RandomHalves(count, random));
  };
  add("model.embed_tokens", {kVocabulary, kHidden});
  add("model.norm", {kHidden});
  for (int layer = 0; layer < kLayers; ++layer) {
    const std::string prefix = "model.layers." + std::to_string(layer) + ".";
    add(prefix + "input_layernorm", {kHidden});
    add(prefix + "post_attention_layernorm", {kHidden});
    for (const char* name : {"q_proj", "k_proj", "v_proj", "o_proj"}) {
      add(prefix + "self_attn." + name, {kHidden, kHidden});
    }
    add(prefix + "mlp.gate_proj", {kFeedForward, kHidden});
    add(prefix + "mlp.up_proj", {kFeedForward, kHidden});
    add(prefix + "mlp.down_proj", {kHidden, kFeedForward});
  }
  file.WriteTo(path / "model.safetensors");
}

}  // namespace quantized::testing
