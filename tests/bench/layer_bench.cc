// Errors and times of the calibrated algorithms on the linears of a layer, as a table.
//
//   layer_bench FILE GROUP_SIZE BITS [LINEAR…]
//
// FILE: safetensors, F32, with for each input NAME `NAME.gram_cal`, `NAME.mean_cal` and
// `NAME.gram_eval` (mean of x·xᵀ, mean of |x|; over the text to calibrate with, and another), and
// the weights. LINEAR: `WEIGHT=INPUT`. Errors are tr(D·H·Dᵀ) / tr(W·H·Wᵀ) x 1e4 on both texts,
// means over the linears.
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "core/base/thread_pool.h"
#include "core/quantize/awq_clip.h"
#include "core/quantize/awq_scale.h"
#include "core/quantize/gptq.h"
#include "core/quantize/gram_loss.h"
#include "core/quantize/round_to_nearest.h"
#include "core/safetensors/reader.h"
#include "kernels/blas/core_type.h"

namespace quantized {
namespace {

template <class T>
T ValueOr(absl::StatusOr<T> value) {
  if (value.ok()) return *std::move(value);
  std::fprintf(stderr, "%s\n", std::string(value.status().message()).c_str());
  std::exit(1);
}

double CpuSeconds() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

Matrix Load(const safetensors::SafetensorsReader& file, const std::string& name) {
  const auto* tensor = file.Find(name);
  if (tensor == nullptr) {
    std::fprintf(stderr, "no tensor %s\n", name.c_str());
    std::exit(1);
  }
  const bool vector = tensor->shape.size() == 1;
  Matrix matrix(vector ? 1 : tensor->shape[0], tensor->shape[vector ? 0 : 1]);
  const auto status = file.Read(*tensor, 0, std::as_writable_bytes(std::span(matrix.values)));
  if (!status.ok()) std::exit(1);
  return matrix;
}

struct Linear {
  Matrix weight, gram, mean, other_gram;
};

double RelativeError(const Matrix& weight, Matrix decoded, const Matrix& gram,
                     ThreadPool& threads) {
  for (size_t i = 0; i < decoded.values.size(); ++i) decoded.values[i] -= weight.values[i];
  return GramLoss(decoded, gram, threads) / GramLoss(weight, gram, threads);
}

Matrix Unscaled(Matrix decoded, const std::vector<float>& scales) {
  for (size_t i = 0; i < decoded.values.size(); ++i) decoded.values[i] /= scales[i % decoded.cols];
  return decoded;
}

using Method = std::function<Matrix(const Linear&, ThreadPool&)>;

Method WithGptq(const GptqOptions& options) {
  return [options](const Linear& linear, ThreadPool& threads) {
    return Decoded(ValueOr(Gptq(linear.weight, linear.gram, options, threads)).linear);
  };
}

struct AwqParts {
  bool scale, clip, gptq, awq_range;
};

Method WithAwq(size_t group_size, int bits, const AwqParts& parts, const GptqOptions& gptq = {}) {
  return [=](const Linear& linear, ThreadPool& threads) {
    std::vector<float> scales(linear.weight.cols, 1.0f);
    if (parts.scale) {
      const Matrix* one[] = {&linear.weight};
      scales = ValueOr(SearchAwqScale(
                           one, linear.gram, linear.mean.values,
                           {.bits = bits, .group_size = group_size, .awq_range = parts.awq_range},
                           threads))
                   .scales;
    }
    const Matrix weight = ScaleColumns(linear.weight, scales);
    const Matrix gram = ScaleGram(linear.gram, scales);
    if (parts.gptq) {
      return Unscaled(Decoded(ValueOr(Gptq(weight, gram, gptq, threads)).linear), scales);
    }
    const AwqClipOptions options = {
        .bits = bits, .group_size = group_size, .awq_range = parts.awq_range};
    AwqClip clip;
    if (parts.clip) clip = ValueOr(SearchAwqClip(weight, gram, options, threads));
    return Unscaled(Decoded(ValueOr(AwqRound(weight, clip, options, threads))), scales);
  };
}

int Run(int argc, char** argv) {
  if (argc < 5) {
    std::fprintf(stderr, "usage: layer_bench FILE GROUP_SIZE BITS WEIGHT=INPUT…\n");
    return 2;
  }
  const auto file = ValueOr(safetensors::SafetensorsReader::Open(argv[1]));
  const auto group_size = static_cast<size_t>(std::atoi(argv[2]));
  const int bits = std::atoi(argv[3]);
  std::vector<Linear> linears;
  for (int i = 4; i < argc; ++i) {
    const std::string argument = argv[i];
    const size_t equals = argument.find('=');
    if (equals == std::string::npos) return 2;
    const std::string input = argument.substr(equals + 1);
    linears.push_back({Load(*file, argument.substr(0, equals)), Load(*file, input + ".gram_cal"),
                       Load(*file, input + ".mean_cal"), Load(*file, input + ".gram_eval")});
  }
  const GptqOptions base = {.bits = bits, .group_size = group_size, .refine = {.passes = 0}};
  const auto with = [&](const std::function<void(GptqOptions&)>& change) {
    GptqOptions options = base;
    change(options);
    return options;
  };
  const auto gptq = [&](const std::function<void(GptqOptions&)>& change) {
    return WithGptq(with(change));
  };
  const auto round = [&](kernels::RangeForm form, RangeSearch search) -> Method {
    return [=](const Linear& linear, ThreadPool& threads) {
      std::vector<float> diagonal;
      for (size_t i = 0; i < linear.gram.cols; ++i) diagonal.push_back(linear.gram.at(i, i));
      return Decoded(ValueOr(RoundToNearest(
          linear.weight, {.bits = bits, .group_size = group_size, .form = form, .search = search},
          diagonal, threads)));
    };
  };
  using enum RangeSearch;
  using enum ColumnOrder;
  using kernels::RangeForm;
  const std::vector<std::pair<const char*, Method>> methods = {
      {"rounding, sym", round(RangeForm::kSymmetric, kNone)},
      {"rounding, sym, search H", round(RangeForm::kSymmetric, kHessianDiagonal)},
      {"rounding, asym", round(RangeForm::kWithZero, kNone)},
      {"rounding, asym, search H", round(RangeForm::kWithZero, kHessianDiagonal)},
      {"GPTQ sym natural, no search, damp 0.05", gptq([](auto& o) {
         o.order = kNatural;
         o.search = kNone;
         o.damping = 0.05;
       })},
      {"GPTQ sym GAR, no search, damp 0.05", gptq([](auto& o) {
         o.search = kNone;
         o.damping = 0.05;
       })},
      {"GPTQ sym GAR, no search", gptq([](auto& o) { o.search = kNone; })},
      {"GPTQ sym GAR, plain", gptq([](auto& o) { o.search = kPlain; })},
      {"GPTQ sym GAR, H", gptq([](auto&) {})},
      {"GPTQ sym GAR, H, exponent 2.4", gptq([](auto& o) { o.search_exponent = 2.4; })},
      {"GPTQ sym GAR, H, 50 steps to 0.4", gptq([](auto& o) {
         o.search_steps = 50;
         o.search_shrink = 0.6;
       })},
      {"GPTQ sym GAR, H, damp 0.05", gptq([](auto& o) { o.damping = 0.05; })},
      {"GPTQ sym GAR, U", gptq([](auto& o) { o.search = kInverseDiagonal; })},
      {"GPTQ sym static, H", gptq([](auto& o) { o.order = kStaticActivation; })},
      {"GPTQ sym static, U", gptq([](auto& o) {
         o.order = kStaticActivation;
         o.search = kInverseDiagonal;
       })},
      {"GPTQ sym act, H", gptq([](auto& o) { o.order = kActivation; })},
      {"GPTQ sym GAR, H, 1 pass", gptq([](auto& o) {
         o.refine = {1, false};
       })},
      {"GPTQ sym GAR, H, 2 passes", gptq([](auto& o) {
         o.refine = {2, false};
       })},
      {"GPTQ sym GAR, H, 1 pass, refit", gptq([](auto& o) {
         o.refine = {1, true};
       })},
      {"GPTQ sym GAR, H, 2 passes, refit", gptq([](auto& o) {
         o.refine = {2, true};
       })},
      {"GPTQ sym GAR, H, 4 passes, refit", gptq([](auto& o) {
         o.refine = {4, true};
       })},
      {"GPTQ sym GAR, H, 4 passes, refit, damp 0.05", gptq([](auto& o) {
         o.refine = {4, true};
         o.damping = 0.05;
       })},
      {"GPTQ sym GAR, H, 8 passes, refit", gptq([](auto& o) {
         o.refine = {8, true};
       })},
      {"GPTQ sym GAR, U, 4 passes, refit", gptq([](auto& o) {
         o.refine = {4, true};
         o.search = kInverseDiagonal;
       })},
      {"GPTQ sym static, U, 4 passes, refit", gptq([](auto& o) {
         o.order = kStaticActivation;
         o.search = kInverseDiagonal;
         o.refine = {4, true};
       })},
      {"GPTQ sym GAR, H, 4 passes, refit, damp 0.1", gptq([](auto& o) {
         o.refine = {4, true};
         o.damping = 0.1;
       })},
      {"GPTQ sym GAR, U, 4 passes, refit, damp 0.05", gptq([](auto& o) {
         o.refine = {4, true};
         o.search = kInverseDiagonal;
         o.damping = 0.05;
       })},
      {"GPTQ sym natural, H, 4 passes, refit, damp 0.05", gptq([](auto& o) {
         o.refine = {4, true};
         o.order = kNatural;
         o.damping = 0.05;
       })},
      {"GPTQ asym GAR, no search, damp 0.05", gptq([](auto& o) {
         o.symmetric = false;
         o.search = kNone;
         o.damping = 0.05;
       })},
      {"GPTQ asym GAR, H", gptq([](auto& o) { o.symmetric = false; })},
      {"GPTQ asym GAR, H, zero >= 1", gptq([](auto& o) {
         o.symmetric = false;
         o.avoid_zero_point_zero = true;
       })},
      {"GPTQ asym GAR, H, AWQ range", gptq([](auto& o) {
         o.symmetric = false;
         o.awq_range = true;
       })},
      {"GPTQ asym GAR, U", gptq([](auto& o) {
         o.symmetric = false;
         o.search = kInverseDiagonal;
       })},
      {"GPTQ asym GAR, H, 4 passes, refit", gptq([](auto& o) {
         o.symmetric = false;
         o.refine = {4, true};
       })},
      {"GPTQ asym static, U", gptq([](auto& o) {
         o.symmetric = false;
         o.order = kStaticActivation;
         o.search = kInverseDiagonal;
       })},
      {"AWQ scale", WithAwq(group_size, bits, {true, false, false, false})},
      {"AWQ clip", WithAwq(group_size, bits, {false, true, false, false})},
      {"AWQ scale, clip", WithAwq(group_size, bits, {true, true, false, false})},
      {"AWQ scale, clip, AWQ range", WithAwq(group_size, bits, {true, true, false, true})},
      {"AWQ scale, GPTQ asym GAR H", WithAwq(group_size, bits, {true, false, true, false},
                                             with([](auto& o) { o.symmetric = false; }))},
      {"AWQ scale, GPTQ asym GAR U",
       WithAwq(group_size, bits, {true, false, true, false}, with([](auto& o) {
                 o.symmetric = false;
                 o.search = kInverseDiagonal;
               }))},
      {"AWQ scale, GPTQ asym GAR H, 4 passes, refit",
       WithAwq(group_size, bits, {true, false, true, false}, with([](auto& o) {
                 o.symmetric = false;
                 o.refine = {4, true};
               }))},
  };
  ThreadPool threads(1);
  std::printf("| %-46s | calibration | held out | CPU ms |\n|---|---|---|---|\n", "method");
  for (const auto& [name, method] : methods) {
    double calibration = 0, held_out = 0, seconds = 0;
    for (const Linear& linear : linears) {
      const double start = CpuSeconds();
      const Matrix decoded = method(linear, threads);
      seconds += CpuSeconds() - start;
      calibration += RelativeError(linear.weight, decoded, linear.gram, threads);
      held_out += RelativeError(linear.weight, decoded, linear.other_gram, threads);
    }
    const auto count = static_cast<double>(linears.size());
    std::printf("| %-46s | %.2f | %.2f | %.0f |\n", name, calibration / count * 1e4,
                held_out / count * 1e4, seconds * 1e3);
    std::fflush(stdout);
  }
  return 0;
}

}  // namespace
}  // namespace quantized

int main(int argc, char** argv) {
  quantized::kernels::UseFittingBlasKernels(argv);
  return quantized::Run(argc, argv);
}
