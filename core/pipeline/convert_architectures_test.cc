// A model of each architecture as a GGUF file, converted to AWQ and GPTQ directories: every tensor
// is there again under the name, in the order of rows and with the values of the original.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "core/arch/architecture.h"
#include "core/arch/geometry.h"
#include "core/arch/tensor_names.h"
#include "core/base/thread_pool.h"
#include "core/hf/config.h"
#include "core/pipeline/convert.h"
#include "core/pipeline/test_convert.h"
#include "core/source/hf_weights.h"
#include "core/source/packed_weights.h"
#include "core/source/widen.h"
#include "kernels/types/half.h"
#include "tests/support/paths.h"
#include "tests/support/recording_sink.h"
#include "tests/support/safetensors_file.h"

namespace quantized {
namespace {

namespace fs = std::filesystem;
using testing::ConvertTest;
using testing::RecordingSink;
using testing::SafetensorsFile;

// A committed model of the architecture, of which configuration and tokenizer are taken.
struct Example {
  std::string_view hf_name, folder;
};
constexpr Example kExamples[] = {
    {"LlamaForCausalLM", "Llama-3.9-1B-Instruct"},
    {"MistralForCausalLM", "mistral-no-head-dim"},
    {"Qwen2ForCausalLM", "qwen2-yarn"},
    {"Qwen3ForCausalLM", "Qwen3-Embedding-0.6B"},
    {"Gemma3ForCausalLM", "gemma-3-f16"},
    {"Gemma2ForCausalLM", "gemma-2-f16"},
    {"Phi3ForCausalLM", "Phi-4-bpe"},
    {"MixtralForCausalLM", "Mixtral-sharded"},
    {"Qwen3MoeForCausalLM", "Qwen3-MoE-tied"},
};

struct Tensor {
  std::vector<uint64_t> shape;
  std::vector<float> values;
};
using Tensors = std::map<std::string, Tensor>;

double RelativeError(const std::vector<float>& found, const std::vector<float>& wanted) {
  double error = 0, norm = 0;
  for (size_t i = 0; i < wanted.size(); ++i) {
    error += std::pow(double{found[i]} - wanted[i], 2);
    norm += std::pow(double{wanted[i]}, 2);
  }
  return error / norm;
}

class ConvertArchitectures : public ConvertTest,
                             public ::testing::WithParamInterface<const Architecture*> {
 protected:
  // Configuration and tokenizer of the example, with widths that AWQ and GPTQ hold.
  void WriteConfig(const Architecture& architecture) {
    const auto example = std::ranges::find_if(kExamples, [&](const Example& one) {
      return FindArchitecture(one.hf_name) == &architecture;
    });
    ASSERT_NE(example, std::end(kExamples)) << "there is no example of it";
    const fs::path folder = testing::GoldenDir() / "hf2gguf/models" / example->folder;
    fs::create_directories(model_);
    for (const auto& entry : fs::directory_iterator(folder)) {
      const std::string name = entry.path().filename();
      if (name.find("token") != std::string::npos) fs::copy(entry.path(), model_ / name);
    }
    nlohmann::json config = nlohmann::json::parse(Contents(folder / "config.json"));
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
      config.update(
          {{"num_experts", 3}, {"num_experts_per_tok", 2}, {"moe_intermediate_size", 32}});
    }
    std::ofstream(model_ / "config.json") << config.dump(2);
  }

  // Random weights for every rule of the architecture; of Qwen 2 the biases that it always has.
  void WriteWeights(const Architecture& architecture) {
    const Geometry geometry = *GeometryOf(*HfConfig::Read(model_));
    SafetensorsFile file;
    std::mt19937 random(3);
    const auto add = [&](const std::string& name, const std::vector<uint64_t>& shape) {
      uint64_t count = 1;
      for (const uint64_t dim : shape) count *= dim;
      std::normal_distribution<float> normal(shape.size() == 1 ? 0.5f : 0, 0.1f);
      Tensor& tensor = originals_[name];
      tensor.shape = shape;
      std::string bytes(count * sizeof(uint16_t), '\0');
      for (uint64_t i = 0; i < count; ++i) {
        const uint16_t half = kernels::F32ToF16(normal(random));
        std::memcpy(bytes.data() + i * sizeof(half), &half, sizeof(half));
        tensor.values.push_back(kernels::F16ToF32(half));
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
    file.WriteTo(model_ / "model.safetensors");
  }

  void WriteGguf() {
    QuantizeRequest request = Request("gguf", "Q8_0");
    request.conversion = {};
    request.gguf.pure = true;
    ThreadPool pool(2);
    RecordingSink sink;
    JobContext context{{}, sink, pool};
    const absl::Status status = Quantize(request, context).status;
    ASSERT_TRUE(status.ok()) << status;
  }

  // What is in folder_, linears as floats; their names go to `packed`.
  static void Read(const fs::path& folder, Tensors& tensors, std::set<std::string>& packed) {
    const auto scheme = *PackedSchemeOf(*HfConfig::Read(folder));
    ASSERT_TRUE(scheme.has_value());
    const auto weights = *HfWeights::Open(folder);
    const auto opened = *PackedWeights::Open(*weights, *scheme);
    for (const PackedModule& module : opened->modules()) packed.insert(module.name + ".weight");
    const auto read = opened->Tensors(kernels::TypeId::kF32);
    ASSERT_TRUE(read.ok()) << read.status();
    for (const CheckpointTensor& from : *read) {
      Tensor& to = tensors[from.name];
      to.shape = from.shape;
      uint64_t count = 1;
      for (const uint64_t dim : from.shape) count *= dim;
      std::vector<std::byte> bytes(count * RowOf(from.dtype).size_bytes);
      ASSERT_TRUE(from.read(0, bytes).ok()) << from.name;
      to.values.resize(count);
      WidenToF32(from.dtype, bytes.data(), count, to.values.data());
    }
  }

  // Whether AWQ and GPTQ quantize it: a matrix in a layer other than the router's.
  static bool IsLinear(const std::string& name, const Tensor& tensor) {
    return name.find("layers.") != std::string::npos && tensor.shape.size() == 2 &&
           !name.ends_with(".gate.weight");
  }

  Tensors originals_;
};

TEST_P(ConvertArchitectures, TheDirectoryHasTheWeightsOfTheOriginal) {
  ASSERT_NO_FATAL_FAILURE(WriteConfig(*GetParam()));
  WriteWeights(*GetParam());
  ASSERT_NO_FATAL_FAILURE(WriteGguf());
  // Norms plus one are rounded to the float16 that they had without.
  const bool adds_one = std::ranges::any_of(GetParam()->tensors, [](const TensorRule& rule) {
    return rule.transform == Transform::kAddOne;
  });
  struct Case {
    const char* format;
    double largest_error;  // of linears
  };
  for (const auto& [format, largest_error] : {Case{"gptq", 1e-4}, {"awq", 0.02}}) {
    SCOPED_TRACE(format);
    QuantizeRequest request = Request(format);
    request.model_path = gguf_;
    request.conversion.may_requantize = true;
    const auto result = Run(request);
    ASSERT_TRUE(result.ok()) << result.status();
    Tensors found;
    std::set<std::string> packed;
    ASSERT_NO_FATAL_FAILURE(Read(folder_, found, packed));
    EXPECT_EQ(found.size(), originals_.size());
    for (const auto& [name, original] : originals_) {
      SCOPED_TRACE(name);
      ASSERT_TRUE(found.contains(name));
      ASSERT_EQ(found[name].shape, original.shape);
      const bool is_linear = IsLinear(name, original);
      EXPECT_EQ(packed.contains(name), is_linear);
      const double error = RelativeError(found[name].values, original.values);
      if (original.shape.size() == 1) {
        EXPECT_LE(error, adds_one ? 1e-5 : 0);
      } else {
        EXPECT_LT(error, is_linear ? largest_error : 1e-4);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, ConvertArchitectures, ::testing::ValuesIn(AllArchitectures()),
                         [](const auto& param) { return std::string(param.param->model_type); });

}  // namespace
}  // namespace quantized
