#include "core/quantize/layer_quantizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "core/arch/tensor_names.h"
#include "core/base/error.h"
#include "core/forward/half_tensor_source.h"
#include "core/forward/test_model.h"
#include "core/quantize/round_to_nearest.h"
#include "kernels/types/half.h"
#include "tests/support/recording_sink.h"

namespace quantized {
namespace {

using testing::AlteredSource;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::HiddenOf;
using testing::kFamilyModels;
using testing::OpenModel;
using testing::RecordingSink;
using testing::TestWindows;

// Divides the widths of all models, 24 of an expert of qwen3-moe among them.
constexpr size_t kGroupSize = 8;

using Windows = std::vector<std::vector<uint32_t>>;

// Keeps everything; fails at `refused` if asked.
class Keeper : public QuantizedLayerSink {
 public:
  struct Module {
    Linear linear;
    QuantizedLinear quantized;
    ModuleReport report;
  };
  std::map<std::string, Module> modules;
  std::map<std::string, std::vector<float>> tensors;
  std::vector<std::string> calls;
  std::string refused;

  absl::Status OnModule(uint32_t layer, const Linear& linear, const QuantizedLinear& quantized,
                        ModuleReport report) override {
    if (linear.module == refused) return MakeError(Error::kDiskFull, "no room");
    EXPECT_EQ(report.module, linear.module);
    EXPECT_EQ(report.layer, layer);
    calls.push_back(linear.module);
    EXPECT_TRUE(modules.emplace(linear.module, Module{linear, quantized, std::move(report)}).second)
        << linear.module;
    return absl::OkStatus();
  }
  absl::Status OnTensor(uint32_t /*layer*/, const std::string& name,
                        std::span<const float> values) override {
    calls.push_back(name);
    tensors[name].assign(values.begin(), values.end());
    return absl::OkStatus();
  }
  absl::Status OnLayerDone(uint32_t layer) override {
    calls.push_back("layer " + std::to_string(layer));
    return absl::OkStatus();
  }
};

// The model that a checkpoint of what a sink got would be.
class KeptSource : public TensorSource {
 public:
  KeptSource(const TensorSource& source, const Keeper& kept, const Architecture& architecture)
      : source_(source) {
    for (const auto& [name, module] : kept.modules) {
      values_[name + ".weight"] = Decoded(module.quantized).values;
      if (!module.linear.bias.empty()) values_[name + ".bias"] = module.linear.bias;
    }
    for (const auto& [name, values] : kept.tensors) values_[name] = values;
    for (const auto& [name, values] : values_) {
      EXPECT_NE(Find(PlainName(architecture, name)), nullptr) << name;
    }
  }
  const Tensor* Find(std::string_view name) const override { return source_.Find(name); }
  absl::Status ReadRows(const Tensor& tensor, uint64_t first, uint64_t count,
                        float* out) const override {
    const auto kept = values_.find(tensor.name);
    if (kept == values_.end()) return source_.ReadRows(tensor, first, count, out);
    const uint64_t cols = tensor.shape.back();
    std::copy_n(kept->second.begin() + static_cast<ptrdiff_t>(first * cols), count * cols, out);
    return absl::OkStatus();
  }

 private:
  const TensorSource& source_;
  std::map<std::string, std::vector<float>> values_;
};

// What leaves the last layer. `make` gives the visitor for a pool of threads.
template <class Make>
absl::StatusOr<std::vector<float>> Walk(const OpenModel& model, const TensorSource& source,
                                        const Windows& windows, size_t thread_count,
                                        const Make& make) {
  ThreadPool threads(thread_count);
  RecordingSink progress;
  JobContext context{{}, progress, threads};
  auto walk = LayerWalk::Start(model.config(), model.hf_config(), source, windows, {}, context);
  if (!walk.ok()) return walk.status();
  const std::unique_ptr<LayerVisitor> visitor = make(threads);
  for (uint32_t layer = 0; layer < model.config().geometry.layers; ++layer) {
    const absl::Status status = (*walk)->RunLayer(layer, source, *visitor);
    if (!status.ok()) return status;
  }
  return HiddenOf(**walk);
}

absl::StatusOr<std::vector<float>> Walk(const OpenModel& model, const TensorSource& source,
                                        const Windows& windows) {
  return Walk(model, source, windows, 2,
              [](ThreadPool&) { return std::make_unique<LayerVisitor>(); });
}

enum class Method { kGptq, kAwqWithGptqCodes, kAwqClipped };

absl::StatusOr<std::vector<float>> Quantize(const OpenModel& model, const TensorSource& source,
                                            const Windows& windows, Method method, Keeper& sink,
                                            size_t thread_count = 2,
                                            GptqOptions gptq = {.group_size = kGroupSize}) {
  return Walk(model, source, windows, thread_count,
              [&](ThreadPool& threads) -> std::unique_ptr<LayerVisitor> {
                if (method == Method::kGptq) {
                  return std::make_unique<GptqQuantizer>(gptq, sink, threads);
                }
                AwqOptions awq;
                awq.group_size = kGroupSize;
                awq.grid = 5;
                awq.gptq_codes = method == Method::kAwqWithGptqCodes;
                return std::make_unique<AwqQuantizer>(model.config(), awq, sink, threads);
              });
}

template <class T>
bool SameBits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

// Root mean square of the difference, of that of `want`.
double Distance(const std::vector<float>& got, const std::vector<float>& want) {
  double off = 0, size = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    off += std::pow(double{got[i]} - want[i], 2);
    size += std::pow(double{want[i]}, 2);
  }
  return std::sqrt(off / size);
}

std::set<std::string> LinearsOf(const OpenModel& model) {
  std::set<std::string> names;
  for (const HfWeights::Tensor& tensor : model.source().weights().tensors()) {
    const std::string& name = tensor.info->name;
    if (tensor.info->shape.size() == 2 && name.find(".layers.") != std::string::npos &&
        !name.ends_with("mlp.gate.weight") && !name.ends_with("block_sparse_moe.gate.weight")) {
      names.insert(name.substr(0, name.rfind('.')));
    }
  }
  return names;
}

class LayerQuantizerTest : public ::testing::TestWithParam<std::string_view> {
 protected:
  const OpenModel model_{GetParam()};
  const HalfTensorSource half_{model_.source()};
  const Windows windows_ = TestWindows(7, 24);
};

TEST_P(LayerQuantizerTest, TheWalkGoesOnWithWhatTheSinkGot) {
  const auto source_hidden = Walk(model_, half_, windows_);
  ASSERT_TRUE(source_hidden.ok()) << source_hidden.status();
  for (const Method method : {Method::kGptq, Method::kAwqWithGptqCodes, Method::kAwqClipped}) {
    SCOPED_TRACE(static_cast<int>(method));
    Keeper kept;
    const auto hidden = Quantize(model_, half_, windows_, method, kept);
    ASSERT_TRUE(hidden.ok()) << hidden.status();
    std::set<std::string> names;
    for (const auto& [name, module] : kept.modules) {
      names.insert(name);
      EXPECT_TRUE(SameBits(Decoded(module.quantized).values, module.linear.weight.values)) << name;
      EXPECT_EQ(module.quantized.bits, 4);
      EXPECT_EQ(module.quantized.group_size, kGroupSize);
      if (method == Method::kAwqClipped && !module.report.rounded) {
        ASSERT_TRUE(module.report.relative_error) << name;
        EXPECT_GT(*module.report.relative_error, 0) << name;
        EXPECT_LT(*module.report.relative_error, 0.2) << name;
      }
      for (const float bias : module.linear.bias) {
        EXPECT_EQ(bias, kernels::F16ToF32(kernels::F32ToF16(bias)));
      }
      if (name.find("experts") == std::string::npos) {
        EXPECT_EQ(module.report.tokens, 168u);
      }
    }
    EXPECT_EQ(names, LinearsOf(model_));
    for (const auto& [name, values] : kept.tensors) {
      for (const float value : values) {
        EXPECT_EQ(value, kernels::F16ToF32(kernels::F32ToF16(value))) << name;
      }
    }
    const KeptSource checkpoint(half_, kept, model_.architecture());
    const auto replayed = Walk(model_, checkpoint, windows_);
    ASSERT_TRUE(replayed.ok()) << replayed.status();
    EXPECT_TRUE(SameBits(*replayed, *hidden));
    const double distance = Distance(*hidden, *source_hidden);
    EXPECT_GT(distance, 0);
    EXPECT_LT(distance, 0.5);
  }
}

TEST_P(LayerQuantizerTest, ThreadsShowNowhere) {
  for (const Method method : {Method::kGptq, Method::kAwqWithGptqCodes, Method::kAwqClipped}) {
    SCOPED_TRACE(static_cast<int>(method));
    Keeper want;
    const auto hidden = Quantize(model_, half_, windows_, method, want, 1);
    ASSERT_TRUE(hidden.ok()) << hidden.status();
    for (const size_t threads : {2, 5}) {
      SCOPED_TRACE(threads);
      Keeper got;
      const auto again = Quantize(model_, half_, windows_, method, got, threads);
      ASSERT_TRUE(again.ok()) << again.status();
      EXPECT_TRUE(SameBits(*again, *hidden));
      EXPECT_EQ(got.calls, want.calls);
      EXPECT_EQ(got.tensors, want.tensors);
      for (const auto& [name, module] : want.modules) {
        SCOPED_TRACE(name);
        const Keeper::Module& other = got.modules.at(name);
        EXPECT_EQ(other.quantized.codes, module.quantized.codes);
        EXPECT_TRUE(SameBits(other.quantized.scales.values, module.quantized.scales.values));
        EXPECT_EQ(other.quantized.zeros, module.quantized.zeros);
        EXPECT_EQ(other.linear.bias, module.linear.bias);
        EXPECT_EQ(other.report.relative_error, module.report.relative_error);
      }
    }
  }
}

// Moves scales as AWQ does, and rounds nothing but the norms.
class FoldOnly : public AwqQuantizer {
 public:
  FoldOnly(const ForwardConfig& config, const AwqOptions& options, QuantizedLayerSink& sink,
           ThreadPool& threads, const TensorSource& source, std::set<std::string>& changed)
      : AwqQuantizer(config, options, sink, threads),
        architecture_(*config.architecture),
        source_(source),
        changed_(changed) {}
  absl::Status OnInputs(const SiteInputs&, std::span<Linear* const> linears) override {
    for (const Linear* linear : linears) {
      const TensorSource::Tensor* tensor =
          source_.Find(PlainName(architecture_, linear->module + ".weight"));
      std::vector<float> stored(linear->weight.values.size());
      EXPECT_TRUE(source_.ReadRows(*tensor, 0, linear->weight.rows, stored.data()).ok());
      if (stored != linear->weight.values) changed_.insert(linear->module);
    }
    return absl::OkStatus();
  }

 private:
  const Architecture& architecture_;
  const TensorSource& source_;
  std::set<std::string>& changed_;
};

TEST_P(LayerQuantizerTest, FoldingKeepsWhatTheModelComputes) {
  // Columns whose inputs are large before a mixture, so that even powers of two differ there.
  const bool is_mixture = model_.config().experts > 0;
  AlteredSource source(half_);
  source.alter = [&](const std::string& name, std::span<float> values) {
    if (!is_mixture || !name.ends_with("post_attention_layernorm.weight")) return;
    for (size_t col = 0; col < values.size(); col += 5) values[col] *= 16;
  };
  const auto want = Walk(model_, source, windows_);
  ASSERT_TRUE(want.ok()) << want.status();
  Keeper kept;
  std::set<std::string> changed;
  const auto got = Walk(model_, source, windows_, 2, [&](ThreadPool& threads) {
    AwqOptions options;
    options.group_size = kGroupSize;
    return std::make_unique<FoldOnly>(model_.config(), options, kept, threads, source, changed);
  });
  ASSERT_TRUE(got.ok()) << got.status();
  // Scales make good what float16 takes from the norms: what is left is rounding of floats.
  EXPECT_LT(Distance(*got, *want), 1e-5);
  // Each kind of linear gives or takes scales in one layer at least (a search may find none that
  // help), but for those whose inputs come from a norm that others need as it is.
  const bool scales_inputs = model_.architecture().forward.scales_attention_inputs;
  const auto kind = [](const std::string& name) { return name.substr(name.rfind('.') + 1); };
  std::set<std::string> kinds, changed_kinds;
  for (const std::string& name : LinearsOf(model_)) kinds.insert(kind(name));
  for (const std::string& name : changed) changed_kinds.insert(kind(name));
  if (!scales_inputs) {
    for (const char* name : {"q_proj", "k_proj"}) kinds.erase(name);
  }
  EXPECT_EQ(changed_kinds, kinds);
  const bool attention_norm = kept.tensors.contains("model.layers.0.input_layernorm.weight");
  EXPECT_EQ(attention_norm, scales_inputs);
  const std::string_view feed_forward_norm =
      GetParam().starts_with("gemma") ? "pre_feedforward_layernorm" : "post_attention_layernorm";
  EXPECT_TRUE(
      kept.tensors.contains("model.layers.1." + std::string(feed_forward_norm) + ".weight"));
  size_t routers = 0;
  for (const auto& [name, values] : kept.tensors) routers += name.ends_with(".gate.weight");
  EXPECT_EQ(routers, is_mixture ? model_.config().geometry.layers : 0);
}

INSTANTIATE_TEST_SUITE_P(, LayerQuantizerTest, ::testing::ValuesIn(kFamilyModels),
                         testing::NameOfFamilyModel);

TEST(GptqQuantizerTest, MoreBitsAreNearer) {
  const OpenModel model("llama");
  const HalfTensorSource half(model.source());
  const Windows windows = TestWindows(7, 24);
  const auto want = Walk(model, half, windows);
  ASSERT_TRUE(want.ok()) << want.status();
  for (const bool symmetric : {true, false}) {
    double last = 2;
    for (const int bits : {2, 3, 4, 8}) {
      SCOPED_TRACE(::testing::Message() << bits << " bits, symmetric " << symmetric);
      Keeper kept;
      const auto got = Quantize(
          model, half, windows, Method::kGptq, kept, 2,
          {.bits = bits, .group_size = 16, .symmetric = symmetric, .avoid_zero_point_zero = true});
      ASSERT_TRUE(got.ok()) << got.status();
      const double distance = Distance(*got, *want);
      EXPECT_LT(distance, 0.8 * last);
      last = distance;
      for (const auto& [name, module] : kept.modules) {
        EXPECT_EQ(module.quantized.bits, bits);
        EXPECT_GT(module.report.relative_error, 0) << name;
        EXPECT_FALSE(module.report.rounded);
      }
    }
    EXPECT_LT(last, 0.02);
  }
}

TEST(GptqQuantizerTest, CallsComeInTheOrderOfTheLayers) {
  const OpenModel model("llama");
  Keeper kept;
  ASSERT_TRUE(Quantize(model, model.source(), TestWindows(2, 20), Method::kGptq, kept).ok());
  std::vector<std::string> want;
  for (const std::string layer : {"0", "1"}) {
    for (const char* module :
         {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
          "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"}) {
      want.push_back("model.layers." + layer + "." + module);
    }
    want.push_back("layer " + layer);
  }
  EXPECT_EQ(kept.calls, want);
}

TEST(LayerQuantizerExpertsTest, AnExpertWithoutTokensIsRoundedAndSaysSo) {
  for (const std::string_view name : {"mixtral", "qwen3-moe"}) {
    for (const Method method : {Method::kGptq, Method::kAwqWithGptqCodes, Method::kAwqClipped}) {
      SCOPED_TRACE(::testing::Message() << name << " " << static_cast<int>(method));
      const OpenModel model(name);
      Keeper kept;
      // One token, which goes to two of four experts.
      const auto hidden = Quantize(model, model.source(), TestWindows(1, 1), method, kept);
      ASSERT_TRUE(hidden.ok()) << hidden.status();
      std::multiset<uint64_t> tokens;
      for (const auto& [module, one] : kept.modules) {
        EXPECT_TRUE(one.report.rounded) << module;
        EXPECT_THAT(one.report.notes,
                    ElementsAre(HasSubstr("only " + std::to_string(one.report.tokens) +
                                          " tokens of the calibration set reach it")));
        if (module.ends_with("0.mlp.experts.0.down_proj") || module.ends_with(".w2") ||
            module.ends_with("down_proj")) {
          tokens.insert(one.report.tokens);
        }
      }
      EXPECT_THAT(tokens, ElementsAre(0, 0, 0, 0, 1, 1, 1, 1));
      for (const float value : *hidden) EXPECT_TRUE(std::isfinite(value));
    }
  }
}

TEST(LayerQuantizerErrorsTest, ASinksErrorEndsTheWalk) {
  const OpenModel model("llama");
  for (const Method method : {Method::kGptq, Method::kAwqWithGptqCodes, Method::kAwqClipped}) {
    Keeper kept;
    kept.refused = "model.layers.0.mlp.up_proj";
    const auto hidden = Quantize(model, model.source(), TestWindows(2, 20), method, kept);
    ASSERT_FALSE(hidden.ok());
    EXPECT_EQ(ErrorOf(hidden.status()), Error::kDiskFull);
    EXPECT_EQ(kept.modules.size(), 5u);
  }
}

// The products of gate and up are floats, their squares are not: GPTQ rounds under such inputs, and
// AWQ leaves the scale out.
TEST(AwqQuantizerTest, StatisticsThatAreNotFiniteEndNothing) {
  for (const std::string_view name : {"llama", "mixtral"}) {
    const OpenModel model(name);
    const bool is_mixture = model.config().experts > 0;
    AlteredSource source(model.source());
    source.alter = [&](const std::string& tensor, std::span<float> values) {
      const bool is_gate_or_up = tensor.find("gate_proj") != std::string::npos ||
                                 tensor.find("up_proj") != std::string::npos ||
                                 tensor.ends_with(".w1.weight") || tensor.ends_with(".w3.weight");
      if (!tensor.starts_with("model.layers.0.") || !is_gate_or_up) return;
      for (float& value : values) value *= 1e11f;
    };
    for (const Method method : {Method::kGptq, Method::kAwqWithGptqCodes, Method::kAwqClipped}) {
      SCOPED_TRACE(::testing::Message() << name << " " << static_cast<int>(method));
      Keeper kept;
      const auto hidden = Quantize(model, source, TestWindows(7, 24), method, kept);
      ASSERT_TRUE(hidden.ok()) << hidden.status();
      EXPECT_EQ(kept.modules.size(), LinearsOf(model).size());
      if (method == Method::kGptq) continue;
      size_t noted = 0;
      for (const auto& [module, one] : kept.modules) {
        const bool is_down = module.ends_with("down_proj") || module.ends_with(".w2");
        for (const std::string& note : one.report.notes) {
          if (note.find("not scaled: statistics") == std::string::npos) continue;
          EXPECT_TRUE(is_down && module.starts_with("model.layers.0.")) << module;
          ++noted;
        }
      }
      EXPECT_GE(noted, 1u);
      EXPECT_LE(noted, is_mixture ? 4u : 1u);
    }
  }
}

TEST(AwqQuantizerTest, InputsOfAMixtureThatAreNotFiniteEndNothing) {
  const OpenModel model("mixtral");
  AlteredSource source(model.source());
  source.alter = [&](const std::string& tensor, std::span<float> values) {
    if (!tensor.starts_with("model.layers.0.")) return;
    const bool is_norm = tensor.ends_with("post_attention_layernorm.weight");
    const bool is_expert = tensor.ends_with(".w1.weight") || tensor.ends_with(".w3.weight");
    for (float& value : values) value *= is_norm ? 1e20f : is_expert ? 1e-12f : 1;
  };
  Keeper kept;
  const auto hidden = Quantize(model, source, TestWindows(7, 24), Method::kAwqWithGptqCodes, kept);
  ASSERT_TRUE(hidden.ok()) << hidden.status();
  const auto& notes = kept.modules.at("model.layers.0.block_sparse_moe.experts.0.w1").report.notes;
  EXPECT_THAT(notes, ::testing::Contains(HasSubstr("not scaled: statistics of its inputs")));
}

TEST(AwqQuantizerTest, ABiasStaysInFloat16) {
  const OpenModel model("qwen2");
  AlteredSource source(model.source());
  source.alter = [&](const std::string& tensor, std::span<float> values) {
    if (tensor == "model.layers.0.self_attn.v_proj.bias") std::ranges::fill(values, 65000.0f);
  };
  Keeper kept;
  const auto hidden = Quantize(model, source, TestWindows(7, 24), Method::kAwqWithGptqCodes, kept);
  ASSERT_TRUE(hidden.ok()) << hidden.status();
  for (const float bias : kept.modules.at("model.layers.0.self_attn.v_proj").linear.bias) {
    EXPECT_EQ(bias, 65000.0f - 8);  // as float16
  }
  EXPECT_THAT(kept.modules.at("model.layers.0.self_attn.o_proj").report.notes,
              ElementsAre("not scaled: the bias of model.layers.0.self_attn.v_proj would leave "
                          "float16's range"));
}

TEST(LayerQuantizerErrorsTest, AWeightThatIsNotFiniteIsRefusedByName) {
  const OpenModel model("llama");
  for (const std::string module :
       {"model.layers.0.self_attn.q_proj", "model.layers.1.mlp.down_proj"}) {
    for (const float bad : {NAN, INFINITY}) {
      SCOPED_TRACE(module);
      AlteredSource source(model.source());
      source.alter = [&](const std::string& name, std::span<float> values) {
        if (name == module + ".weight") values[40] = bad;
      };
      Keeper kept;
      const auto hidden = Quantize(model, source, TestWindows(2, 20), Method::kGptq, kept);
      ASSERT_FALSE(hidden.ok());
      EXPECT_EQ(ErrorOf(hidden.status()), Error::kValidationFailed) << hidden.status();
      EXPECT_THAT(std::string(hidden.status().message()), HasSubstr(module));
      EXPECT_FALSE(kept.modules.contains(module));
    }
  }
}

}  // namespace
}  // namespace quantized
