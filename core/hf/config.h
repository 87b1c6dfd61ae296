// config.json of a Hugging Face model directory, as the reference converter sees it: class defaults
// filled in, nested text parts merged over the root, the rope block gathered in one place.
// Rules: docs/design/hf-to-gguf.md, "Configuration". Immutable and thread-safe.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "core/hf/quantization.h"
#include "nlohmann/json.hpp"

namespace quantized {

class HfConfig {
 public:
  // Errors: kModelNotFound when `directory` has no config.json; kValidationFailed when it is no
  // sound JSON object or a member that shapes the others has the wrong type; those of
  // QuantizationBeside.
  static absl::StatusOr<HfConfig> Read(const std::filesystem::path& directory);
  // From the text of a config.json.
  static absl::StatusOr<HfConfig> Parse(std::string_view text);

  // As it stands in the file.
  const nlohmann::json& file() const { return file_; }
  // With defaults, text part merged; an object.
  const nlohmann::json& fields() const { return fields_; }
  // rope_parameters, else rope_scaling, with what the root says about it filled in; an object.
  const nlohmann::json& rope() const { return rope_; }
  // "LlamaForCausalLM": the first of `architectures`, of the text part where it has its own; empty
  // when the file names none.
  const std::string& architecture() const { return architecture_; }

  // What the directory says of how its weights are quantized (core/hf/quantization.h); nothing of a
  // text that stands for itself but what it holds.
  const std::optional<HfQuantization>& quantization() const { return quantization_; }

  // The first of `names` that is there, even if its value is null. Null when none is.
  const nlohmann::json* Find(std::span<const std::string_view> names) const;
  // The number that the first of `names` that is there holds; nullopt when none is there or it is
  // null. Errors: kValidationFailed for anything else, naming the field.
  absl::StatusOr<std::optional<uint32_t>> Uint32(std::span<const std::string_view> names) const;
  absl::StatusOr<std::optional<float>> Float(std::span<const std::string_view> names) const;

 private:
  HfConfig() = default;

  nlohmann::json file_, fields_, rope_;
  std::string architecture_;
  std::optional<HfQuantization> quantization_;
};

// Names under which model families keep the same thing, in the order in which they are tried.
inline constexpr std::string_view kLayerCountNames[] = {"n_layers", "num_hidden_layers", "n_layer",
                                                        "num_layers"};
inline constexpr std::string_view kHiddenSizeNames[] = {"hidden_size", "n_embd", "dim"};
inline constexpr std::string_view kHeadCountNames[] = {"num_attention_heads", "n_head", "n_heads"};
inline constexpr std::string_view kVocabSizeNames[] = {"vocab_size"};

}  // namespace quantized
