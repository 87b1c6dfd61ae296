// What the calibrated methods make of a model with one option or another, measured on text that
// they have not seen: the table by which the defaults were chosen (docs/design/gptq.md, awq.md).
//
//   calibration_variants MODEL_DIR CALIBRATION.txt EVALUATION.txt
//       [NAME_PART [WINDOWS [GROUP_SIZE [EVALUATION_WINDOWS]]]]
//
// Calibration: WINDOWS (64) windows of 512 tokens, as a job cuts them; evaluation: the first 6.
// Only variants with NAME_PART in their name are run.
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/arch/architecture.h"
#include "core/base/file.h"
#include "core/base/machine.h"
#include "core/calibrate/calibration_set.h"
#include "core/forward/half_tensor_source.h"
#include "core/forward/hf_tensor_source.h"
#include "core/forward/layer_walk.h"
#include "core/forward/model_comparison.h"
#include "core/hf/tokenizer/tokenizer.h"
#include "core/quantize/layer_quantizer.h"
#include "kernels/blas/core_type.h"
#include "tests/support/recording_sink.h"

namespace quantized::testing {
namespace {

constexpr size_t kLength = 512;

[[noreturn]] void Die(const absl::Status& status) {
  std::fprintf(stderr, "%s\n", status.ToString().c_str());
  std::exit(1);
}
void Require(const absl::Status& status) {
  if (!status.ok()) Die(status);
}
template <class T>
T Require(absl::StatusOr<T> value) {
  if (!value.ok()) Die(value.status());
  return *std::move(value);
}

// A model in which some tensors have other values.
class ChangedSource : public TensorSource, public QuantizedLayerSink {
 public:
  explicit ChangedSource(const TensorSource& source) : source_(source) {}

  const Tensor* Find(std::string_view name) const override { return source_.Find(name); }
  absl::Status ReadRows(const Tensor& tensor, uint64_t first, uint64_t count,
                        float* out) const override {
    const auto changed = changed_.find(tensor.name);
    if (changed == changed_.end()) return source_.ReadRows(tensor, first, count, out);
    const uint64_t cols = tensor.shape.back();
    std::copy_n(changed->second.data() + first * cols, count * cols, out);
    return absl::OkStatus();
  }

  absl::Status OnModule(uint32_t, const Linear& linear, const QuantizedLinear&,
                        ModuleReport report) override {
    changed_[linear.module + ".weight"] = linear.weight.values;
    if (!linear.bias.empty()) changed_[linear.module + ".bias"] = linear.bias;
    error_ += report.relative_error.value_or(0);
    return absl::OkStatus();
  }
  absl::Status OnTensor(uint32_t, const std::string& name, std::span<const float> values) override {
    changed_[name].assign(values.begin(), values.end());
    return absl::OkStatus();
  }
  absl::Status OnLayerDone(uint32_t) override { return absl::OkStatus(); }
  double error() const { return error_; }

 private:
  const TensorSource& source_;
  std::map<std::string, std::vector<float>> changed_;
  double error_ = 0;
};

std::vector<std::vector<uint32_t>> FirstWindows(const tokenizer::Tokenizer& tokenizer,
                                                const char* path, size_t count) {
  const std::string text = Require(ReadFile(path, 1 << 30));
  const std::vector<uint32_t> ids = Require(tokenizer.Encode(text, /*add_special=*/false));
  std::vector<std::vector<uint32_t>> windows;
  for (size_t i = 0; i < count && (i + 1) * kLength <= ids.size(); ++i) {
    windows.emplace_back(ids.begin() + i * kLength, ids.begin() + (i + 1) * kLength);
  }
  return windows;
}

struct Variant {
  std::string name;
  bool awq = false;
  GptqOptions gptq;
  AwqOptions scaling;
};

std::vector<Variant> Variants(size_t group_size) {
  GptqOptions base;
  base.group_size = group_size;
  std::vector<Variant> variants;
  const auto gptq = [&](std::string name, const std::function<void(GptqOptions&)>& change) {
    Variant variant{"gptq " + std::move(name), false, base, {}};
    change(variant.gptq);
    variants.push_back(std::move(variant));
  };
  gptq("default", [](GptqOptions&) {});
  gptq("as published", [](GptqOptions& o) {
    o.order = ColumnOrder::kNatural;
    o.search = RangeSearch::kNone;
    o.refine = {};
  });
  gptq("not refined", [](GptqOptions& o) { o.refine = {}; });
  gptq("not refined, no search", [](GptqOptions& o) {
    o.search = RangeSearch::kNone;
    o.refine = {};
  });
  gptq("2 passes", [](GptqOptions& o) { o.refine.passes = 2; });
  gptq("codes only refined", [](GptqOptions& o) { o.refine.refit_scales = false; });
  gptq("damping 0.05", [](GptqOptions& o) { o.damping = 0.05; });
  gptq("damping 0.002", [](GptqOptions& o) { o.damping = 0.002; });
  gptq("1/U² search", [](GptqOptions& o) { o.search = RangeSearch::kInverseDiagonal; });
  gptq("static order", [](GptqOptions& o) { o.order = ColumnOrder::kStaticActivation; });
  gptq("static order, 1/U² search", [](GptqOptions& o) {
    o.order = ColumnOrder::kStaticActivation;
    o.search = RangeSearch::kInverseDiagonal;
  });
  gptq("asymmetric", [](GptqOptions& o) { o.symmetric = false; });
  const auto awq = [&](std::string name, const std::function<void(AwqOptions&)>& change) {
    Variant variant{"awq " + std::move(name), true, {}, {}};
    variant.scaling.group_size = group_size;
    change(variant.scaling);
    variants.push_back(std::move(variant));
  };
  awq("default", [](AwqOptions&) {});
  awq("as published", [](AwqOptions& o) { o.gptq_codes = false; });
  awq("as published, no v to o", [](AwqOptions& o) {
    o.gptq_codes = false;
    o.scale_value_to_output = false;
  });
  awq("all rows searched", [](AwqOptions& o) { o.search_rows = 0; });
  awq("no v to o", [](AwqOptions& o) { o.scale_value_to_output = false; });
  awq("no duo scaling", [](AwqOptions& o) { o.duo_scaling = false; });
  awq("2 passes", [](AwqOptions& o) { o.gptq.refine.passes = 2; });
  awq("codes not refined", [](AwqOptions& o) { o.gptq.refine = {}; });
  awq("1/U² search", [](AwqOptions& o) { o.gptq.search = RangeSearch::kInverseDiagonal; });
  return variants;
}

int Main(int argc, char** argv) {
  if (argc < 4) {
    std::fprintf(stderr,
                 "usage: %s MODEL_DIR CALIBRATION EVALUATION "
                 "[NAME_PART [WINDOWS [GROUP_SIZE [EVALUATION_WINDOWS]]]]\n",
                 argv[0]);
    return 2;
  }
  const std::string part = argc > 4 ? argv[4] : "";
  const size_t windows = argc > 5 ? std::strtoul(argv[5], nullptr, 10) : 64;
  const size_t group_size = argc > 6 ? std::strtoul(argv[6], nullptr, 10) : 64;
  const size_t evaluation_windows = argc > 7 ? std::strtoul(argv[7], nullptr, 10) : 6;
  const HfConfig hf_config = Require(HfConfig::Read(argv[1]));
  const Architecture& architecture = *FindArchitecture(hf_config.architecture());
  const ForwardConfig config = Require(ForwardConfigOf(architecture, hf_config));
  const auto source = Require(HfTensorSource::Open(argv[1], architecture));
  const HalfTensorSource half(*source);
  const auto tokenizer = Require(
      tokenizer::Tokenizer::FromDirectory(argv[1], hf_config.fields().value("model_type", "")));
  const auto evaluation = FirstWindows(*tokenizer, argv[3], evaluation_windows);

  RecordingSink sink;
  ThreadPool threads(AvailableCpus());
  JobContext context{{}, sink, threads};
  const TokenizedDocuments documents = Require(
      LoadCalibrationData(argv[2], argv[1], hf_config.fields().value("model_type", ""), context));
  const auto calibration =
      Require(MakeCalibrationSet(documents, {.samples = static_cast<uint32_t>(windows)})).windows;
  std::printf("%-32s %9s %7s %7s %7s %7s %8s\n", "variant", "ppl", "ratio", "KL", "top-1", "error",
              "CPU s");
  for (const Variant& variant : Variants(group_size)) {
    if (variant.name.find(part) == std::string::npos) continue;
    const double start = ProcessCpuSeconds();
    ChangedSource changed(half);
    std::unique_ptr<GptqQuantizer> quantizer;
    if (variant.awq) {
      quantizer = std::make_unique<AwqQuantizer>(config, variant.scaling, changed, threads);
    } else {
      quantizer = std::make_unique<GptqQuantizer>(variant.gptq, changed, threads);
    }
    const auto walk = Require(LayerWalk::Start(config, hf_config, half, calibration, {}, context));
    for (uint32_t layer = 0; layer < config.geometry.layers; ++layer) {
      Require(walk->RunLayer(layer, half, *quantizer));
    }
    const double seconds = ProcessCpuSeconds() - start;
    const ModelComparison result =
        Require(CompareModels(config, hf_config, *source, changed, evaluation, {}, context));
    std::printf("%-32s %9.4f %7.4f %7.4f %7.4f %7.4f %8.1f\n", variant.name.c_str(),
                result.perplexity, result.perplexity_ratio(), result.kl_divergence,
                result.top1_agreement, changed.error(), seconds);
    std::fflush(stdout);
  }
  return 0;
}

}  // namespace
}  // namespace quantized::testing

int main(int argc, char** argv) {
  quantized::kernels::UseFittingBlasKernels(argv);
  return quantized::testing::Main(argc, argv);
}
