// walk_device_bench DEVICE [HIDDEN FEED_FORWARD HEADS TOKENS [WINDOW]]: a Llama layer of random
// weights (without numbers one of a 7B model: 4096 11008 32 4096 512), run on the processor and on
// DEVICE as GPTQ does: Gram matrices at all sites, each pass of its own. Prints
//
//   how far outputs and statistics are apart, and fails beyond what rounding explains;
//   the seconds of each, the second of two runs on the device, and what they are for each token;
//   which share that is of the products' rate on the device when nothing else is done.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "core/arch/architecture.h"
#include "core/base/thread_pool.h"
#include "core/forward/forward_config.h"
#include "core/forward/layer_walk.h"
#include "core/hf/config.h"
#include "core/pipeline/walk_device.h"
#include "kernels/blas/core_type.h"
#include "kernels/forward_cuda/forward_cuda.h"
#include "tests/support/recording_sink.h"

namespace quantized::testing {
namespace {

using Clock = std::chrono::steady_clock;

// Of the largest value, or of both diagonal elements' root: sums of 11008 products in f32, in two
// orders, one after the other.
constexpr double kTolerance = 1e-4;
constexpr uint64_t kVocabulary = 1000;

void Require(const absl::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "%s\n", std::string(status.message()).c_str());
  std::exit(2);
}
template <class T>
T Require(absl::StatusOr<T> value) {
  Require(value.status());
  return *std::move(value);
}

double Since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

struct Shape {
  uint64_t hidden = 4096, feed_forward = 11008, heads = 32, tokens = 4096, window = 512;

  uint64_t weights() const { return 4 * hidden * hidden + 3 * hidden * feed_forward; }
  // Each product and sum counts; of Gram matrices, one triangle.
  double product_flops() const { return 2.0 * static_cast<double>(weights() * tokens); }
  double gram_flops() const {
    return static_cast<double>(tokens) *
           static_cast<double>(3 * hidden * hidden + feed_forward * feed_forward);
  }
};

// Evenly spread values, in memory.
class RandomSource : public TensorSource {
 public:
  explicit RandomSource(const Shape& shape) {
    const uint64_t hidden = shape.hidden, width = shape.feed_forward;
    Add("embed_tokens.weight", {kVocabulary, hidden}, 0, 1);
    for (const char* norm : {"input_layernorm", "post_attention_layernorm"}) {
      Add(std::string("layers.0.") + norm + ".weight", {hidden}, 1, 0.1f);
    }
    const float of_hidden = 1 / std::sqrt(static_cast<float>(hidden));
    for (const char* linear : {"q_proj", "k_proj", "v_proj", "o_proj"}) {
      Add(std::string("layers.0.self_attn.") + linear + ".weight", {hidden, hidden}, 0, of_hidden);
    }
    Add("layers.0.mlp.gate_proj.weight", {width, hidden}, 0, of_hidden);
    Add("layers.0.mlp.up_proj.weight", {width, hidden}, 0, of_hidden);
    Add("layers.0.mlp.down_proj.weight", {hidden, width}, 0,
        1 / std::sqrt(static_cast<float>(width)));
  }

  const Tensor* Find(std::string_view name) const override {
    const auto found = tensors_.find(std::string(name));
    return found == tensors_.end() ? nullptr : &found->second;
  }
  absl::Status ReadRows(const Tensor& tensor, uint64_t first, uint64_t count,
                        float* out) const override {
    const uint64_t cols = tensor.shape.back();
    const auto& values = static_cast<const RandomTensor&>(tensor).values;
    std::copy_n(values.data() + first * cols, count * cols, out);
    return absl::OkStatus();
  }

 private:
  struct RandomTensor : Tensor {
    std::vector<float> values;
  };

  void Add(const std::string& name, std::vector<uint64_t> shape, float mean, float deviation) {
    RandomTensor& tensor = tensors_[name];
    tensor.name = name;
    tensor.type = "F32";
    tensor.shape = std::move(shape);
    uint64_t count = 1;
    for (const uint64_t dim : tensor.shape) count *= dim;
    tensor.values.resize(count);
    const float reach = deviation * std::sqrt(12.0f);
    for (float& value : tensor.values) {
      state_ = state_ * 6364136223846793005u + 1442695040888963407u;
      value = mean + reach * (static_cast<float>(state_ >> 40) / 16777216.0f - 0.5f);
    }
  }

  std::map<std::string, RandomTensor> tensors_;
  uint64_t state_ = 1;
};

// Takes the statistics that GPTQ does, and leaves the weights.
class Statistics : public LayerVisitor {
 public:
  std::vector<InputStatistics> sites;
  StatisticsKind Wants(Site) const override { return StatisticsKind::kGram; }
  bool ChangesWeights() const override { return true; }
  absl::Status OnInputs(const SiteInputs& inputs, std::span<Linear* const>) override {
    sites.push_back(inputs.statistics);
    return absl::OkStatus();
  }
};

struct Ran {
  std::vector<float> hidden;
  std::vector<InputStatistics> sites;
  double seconds = 0;
};

Ran Run(const ForwardConfig& config, const HfConfig& hf_config, const TensorSource& source,
        const Shape& shape, LayerCompute* compute, JobContext& context) {
  std::vector<std::vector<uint32_t>> windows(shape.tokens / shape.window);
  uint32_t id = 0;
  for (auto& window : windows) {
    for (uint64_t i = 0; i < shape.window; ++i) window.push_back((id += 7919) % kVocabulary);
  }
  const WalkOptions options = {.memory_budget_bytes = UINT64_MAX, .compute = compute};
  const auto walk = Require(LayerWalk::Start(config, hf_config, source, windows, options, context));
  Statistics visitor;
  const Clock::time_point begin = Clock::now();
  Require(walk->RunLayer(0, source, visitor));
  Ran ran{.hidden = std::vector<float>(shape.tokens * shape.hidden),
          .sites = std::move(visitor.sites),
          .seconds = Since(begin)};
  Require(walk->hidden().Read(0, shape.tokens, ran.hidden.data()));
  return ran;
}

double Distance(const std::vector<float>& a, const std::vector<float>& b) {
  double difference = 0, size = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double one = std::fabs(double{a[i]} - b[i]);
    difference = std::isfinite(one) ? std::max(difference, one) : INFINITY;
    size = std::max(size, std::fabs(double{a[i]}));
  }
  return difference / size;
}

double Distance(const InputStatistics& a, const InputStatistics& b) {
  double difference = 0;
  for (size_t i = 0; i < a.gram.rows; ++i) {
    for (size_t j = i; j < a.gram.cols; ++j) {
      const double one = std::fabs(double{a.gram.at(i, j)} - b.gram.at(i, j)) /
                         std::sqrt(double{a.gram.at(i, i)} * a.gram.at(j, j));
      difference = std::isfinite(one) ? std::max(difference, one) : INFINITY;
    }
  }
  return difference;
}

// FLOP/s of products of a window with the gate's weights.
double ProductRate(const Shape& shape, int number) {
  std::string why_not;
  const auto module = kernels::ForwardCudaModule::Open(why_not);
  kernels::CudaStatus status;
  const auto device = module->OpenDevice(number, status);
  const uint64_t m = shape.window, n = shape.feed_forward, k = shape.hidden;
  const auto a = device->Allocate(m * k * sizeof(float), status);
  const auto b = device->Allocate(n * k * sizeof(float), status);
  const auto c = device->Allocate(m * n * sizeof(float), status);
  if (c == nullptr || !device->Zero(a.get(), m * k * sizeof(float)).ok() ||
      !device->Zero(b.get(), n * k * sizeof(float)).ok()) {
    std::fprintf(stderr, "no memory to measure products in: %s\n", status.text.c_str());
    std::exit(2);
  }
  const kernels::ForwardProduct product = {.m = m,
                                           .n = n,
                                           .k = k,
                                           .a = a.get(),
                                           .lda = k,
                                           .b = b.get(),
                                           .ldb = k,
                                           .c = static_cast<float*>(c.get()),
                                           .ldc = n,
                                           .alpha = 1,
                                           .beta = 0};
  constexpr int kTimes = 50;
  double seconds = 0;
  for (int run = 0; run < 2; ++run) {  // the second counts
    const Clock::time_point begin = Clock::now();
    for (int i = 0; i < kTimes; ++i) status = device->MatMulNt(product);
    status = device->Wait();
    seconds = Since(begin);
  }
  return kTimes * 2.0 * static_cast<double>(m * n * k) / seconds;
}

int Main(const std::string& device_word, const Shape& shape) {
  const nlohmann::json fields = {{"architectures", {"LlamaForCausalLM"}},
                                 {"model_type", "llama"},
                                 {"hidden_size", shape.hidden},
                                 {"intermediate_size", shape.feed_forward},
                                 {"num_hidden_layers", 1},
                                 {"num_attention_heads", shape.heads},
                                 {"max_position_embeddings", 4096},
                                 {"rms_norm_eps", 1e-5},
                                 {"vocab_size", kVocabulary},
                                 {"rope_theta", 10000.0}};
  const HfConfig hf_config = Require(HfConfig::Parse(fields.dump()));
  const ForwardConfig config =
      Require(ForwardConfigOf(*FindArchitecture(hf_config.architecture()), hf_config));

  const RandomSource source(shape);
  RecordingSink sink;
  ThreadPool threads(std::max(1u, std::thread::hardware_concurrency()));
  JobContext context{{}, sink, threads};
  WalkDevice device = Require(WalkDevice::Choose(device_word, sink));
  Require(device.Open(config, shape.window, StatisticsKind::kGram, sink));
  if (device.compute() == nullptr) {
    std::fprintf(stderr, "no device\n");
    return 2;
  }
  std::printf(
      "%s: hidden %llu, feed-forward %llu, %llu tokens in windows of %llu; %.0f MB, %zu "
      "slots\n",
      device.name().c_str(), static_cast<unsigned long long>(shape.hidden),
      static_cast<unsigned long long>(shape.feed_forward),
      static_cast<unsigned long long>(shape.tokens), static_cast<unsigned long long>(shape.window),
      static_cast<double>(device.memory_bytes()) / 1e6, device.compute()->slots());

  const Ran cpu = Run(config, hf_config, source, shape, nullptr, context);
  Ran cuda;
  for (int run = 0; run < 2; ++run) {
    cuda = Run(config, hf_config, source, shape, device.compute(), context);
  }
  bool agrees = true;
  const auto tell = [&](const char* what, double distance) {
    const bool is_near = distance < kTolerance;
    std::printf("%-28s %.2g%s\n", what, distance, is_near ? "" : "  TOO FAR");
    agrees = agrees && is_near;
  };
  tell("outputs apart by", Distance(cpu.hidden, cuda.hidden));
  constexpr const char* kSites[] = {"statistics of q, k, v", "of the output projection",
                                    "of gate and up", "of down"};
  for (size_t site = 0; site < std::size(kSites); ++site) {
    tell(kSites[site], Distance(cpu.sites[site], cuda.sites[site]));
  }
  const double flops = shape.product_flops() + shape.gram_flops();
  const double peak = ProductRate(shape, device_word == "cuda" ? 0 : std::atoi(&device_word[5]));
  for (const auto& [name, seconds] :
       {std::pair{"processor", cpu.seconds}, std::pair{"device", cuda.seconds}}) {
    std::printf("%-10s %9.3f s   %8.2f us for each token   %8.2f TFLOP/s\n", name, seconds,
                seconds * 1e6 / static_cast<double>(shape.tokens), flops / seconds / 1e12);
  }
  std::printf("products alone %.2f TFLOP/s on the device: the layer has %.0f %% of it\n",
              peak / 1e12, 100 * flops / cuda.seconds / peak);
  return agrees ? 0 : 1;
}

}  // namespace
}  // namespace quantized::testing

int main(int argc, char** argv) {
  quantized::kernels::UseFittingBlasKernels(argv);
  const std::string device = argc > 1 ? argv[1] : "";
  if (!device.starts_with("cuda") || (argc != 2 && argc != 6 && argc != 7)) {
    std::fprintf(stderr,
                 "usage: walk_device_bench cuda|cuda:N [HIDDEN FEED_FORWARD HEADS TOKENS "
                 "[WINDOW]]\n");
    return 2;
  }
  quantized::testing::Shape shape;
  uint64_t* const numbers[] = {&shape.hidden, &shape.feed_forward, &shape.heads, &shape.tokens,
                               &shape.window};
  for (int i = 2; i < argc; ++i) *numbers[i - 2] = std::strtoull(argv[i], nullptr, 10);
  return quantized::testing::Main(device, shape);
}
