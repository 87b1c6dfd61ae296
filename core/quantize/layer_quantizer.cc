#include "core/quantize/layer_quantizer.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <string_view>
#include <utility>

#include "absl/strings/str_format.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/quantize/awq_clip.h"
#include "core/quantize/awq_scale.h"
#include "core/quantize/gram_loss.h"
#include "core/quantize/group_range.h"
#include "core/quantize/round_to_nearest.h"
#include "kernels/types/half.h"

namespace quantized {
namespace {

float RoundedToHalf(float value) { return kernels::F16ToF32(kernels::F32ToF16(value)); }

std::vector<float> Floats(const std::vector<double>& values) {
  return {values.begin(), values.end()};
}

// float16 keeps eleven digits of these; below, ever fewer.
bool IsNormalHalf(float value) {
  return std::fabs(value) >= 6.2e-5f && std::fabs(value) <= 65504.0f;
}

// Tokens below which a linear is rounded to nearest: statistics of so few say more about the sample
// than about the linear (GPTQModel draws the line at a share of what an expert could expect).
constexpr uint64_t kLeastTokens = 32;

// Of a mixture as many experts, evenly spread, choose the scales of all.
constexpr uint32_t kSearchedExperts = 16;

// False, and all is as it was, where a bias would leave float16's range.
bool DivideRows(std::span<const float> scales, size_t first_row, Linear& linear) {
  for (size_t i = 0; i < scales.size() && !linear.bias.empty(); ++i) {
    const float bias = linear.bias[first_row + i];
    if (std::isfinite(bias) && !std::isfinite(RoundedToHalf(bias / scales[i]))) return false;
  }
  for (size_t i = 0; i < scales.size(); ++i) {
    float* row = linear.weight.row(first_row + i);
    for (size_t col = 0; col < linear.weight.cols; ++col) row[col] /= scales[i];
    if (!linear.bias.empty()) linear.bias[first_row + i] /= scales[i];
  }
  return true;
}

bool IsFinite(const InputStatistics& inputs) {
  return CheckGramFinite(inputs.gram).ok() &&
         std::ranges::all_of(Floats(inputs.magnitudes), [](float x) { return std::isfinite(x); });
}

constexpr std::string_view kNotScaledInputs = "not scaled: statistics of its inputs are not finite";

std::string NotScaledBias(const Linear& linear) {
  return StrCat("not scaled: the bias of ", linear.module, " would leave float16's range");
}

}  // namespace

GptqQuantizer::GptqQuantizer(const GptqOptions& options, QuantizedLayerSink& sink,
                             ThreadPool& threads)
    : options_(options), sink_(sink), threads_(threads) {}

absl::Status GptqQuantizer::OnInputs(const SiteInputs& inputs, std::span<Linear* const> linears) {
  if (inputs.statistics.tokens < kLeastTokens) {
    for (Linear* linear : linears) RETURN_IF_ERROR(Quantize(inputs, nullptr, *linear));
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const GptqFactor factor,
                   MakeGptqFactor(inputs.statistics.gram, FactorOptions(options_)));
  for (Linear* linear : linears) RETURN_IF_ERROR(Quantize(inputs, &factor, *linear));
  return absl::OkStatus();
}

// Without a factor: rounds to nearest.
absl::Status GptqQuantizer::Quantize(const SiteInputs& inputs, const GptqFactor* factor,
                                     Linear& linear) {
  ModuleReport report;
  report.module = linear.module;
  report.layer = inputs.layer;
  report.tokens = inputs.statistics.tokens;
  QuantizedLinear quantized;
  if (factor == nullptr) {
    const GridOptions grid = {
        .bits = options_.bits,
        .group_size = options_.group_size,
        .form = options_.symmetric ? kernels::RangeForm::kSymmetric : kernels::RangeForm::kWithZero,
        .avoid_zero_point_zero = options_.avoid_zero_point_zero,
        .search = RangeSearch::kPlain};
    ASSIGN_OR_RETURN(quantized, RoundToNearest(linear.weight, grid, {}, threads_),
                     << linear.module);
    report.rounded = true;
    report.notes.push_back(StrCat("rounded to nearest: only ", report.tokens,
                                  " tokens of the calibration set reach it"));
  } else {
    ASSIGN_OR_RETURN(GptqResult result,
                     Gptq(linear.weight, inputs.statistics.gram, *factor, options_, threads_),
                     << linear.module);
    quantized = std::move(result.linear);
    // Under a Gram matrix that is not finite it is the weight's error, not the output's.
    const bool is_measured =
        !result.fell_back_to_rounding || CheckGramFinite(inputs.statistics.gram).ok();
    if (is_measured && std::isfinite(result.relative_error)) {
      report.relative_error = result.relative_error;
    }
    report.damping = result.damping_used;
    report.rounded = result.fell_back_to_rounding;
    report.notes = std::move(result.notes);
  }
  linear.weight = Decoded(quantized);
  for (float& bias : linear.bias) bias = RoundedToHalf(bias);
  MoveNotes(linear.module, report.notes);
  return sink_.OnModule(inputs.layer, linear, quantized, std::move(report));
}

void GptqQuantizer::Note(const std::string& module, std::string note) {
  notes_[module].push_back(std::move(note));
}

void GptqQuantizer::MoveNotes(const std::string& module, std::vector<std::string>& to) {
  const auto found = notes_.extract(module);
  if (!found.empty()) std::ranges::move(found.mapped(), std::back_inserter(to));
}

absl::Status GptqQuantizer::OnLayerDone(uint32_t layer, const AttentionWeights& /*attention*/,
                                        const FeedForwardWeights& /*feed_forward*/) {
  return sink_.OnLayerDone(layer);
}

namespace {

GptqOptions AwqCodes(const AwqOptions& options) {
  GptqOptions codes = options.gptq;
  codes.bits = 4;
  codes.group_size = options.group_size;
  codes.symmetric = false;
  return codes;
}

// GptqResult::relative_error of codes that are not GPTQ's; none where it is not finite.
std::optional<double> RelativeError(const Matrix& weight, const QuantizedLinear& quantized,
                                    const Matrix& gram, ThreadPool& threads) {
  const double energy = GramLoss(weight, gram, threads);
  if (energy == 0) return 0;
  const double error = GramLoss(Difference(quantized, weight), gram, threads) / energy;
  return std::isfinite(error) ? std::optional(error) : std::nullopt;
}

}  // namespace

std::string Describe(const AwqOptions& options) {
  const auto& [group_size, grid, duo_scaling, search_rows, scale_value_to_output, gptq_codes,
               gptq] = options;
  return absl::StrFormat("awq group=%d grid=%d duo=%d rows=%d value_to_output=%d gptq_codes=%d ",
                         group_size, grid, duo_scaling, search_rows, scale_value_to_output,
                         gptq_codes) +
         Describe(gptq);
}

AwqQuantizer::AwqQuantizer(const ForwardConfig& config, const AwqOptions& options,
                           QuantizedLayerSink& sink, ThreadPool& threads)
    : GptqQuantizer(AwqCodes(options), sink, threads), config_(config), awq_(options) {}

AwqScaleOptions AwqQuantizer::ScaleOptions() const {
  return {.group_size = awq_.group_size,
          .grid = awq_.grid,
          .duo_scaling = awq_.duo_scaling,
          .search_rows = awq_.search_rows};
}

// Empty where there is nothing to search by.
absl::StatusOr<std::vector<float>> AwqQuantizer::Search(std::span<const Linear* const> linears,
                                                        const InputStatistics& inputs,
                                                        std::vector<uint32_t> same_scale) {
  if (!IsFinite(inputs)) {
    for (const Linear* linear : linears) Note(linear->module, std::string(kNotScaledInputs));
    return std::vector<float>();
  }
  AwqScaleOptions options = ScaleOptions();
  options.same_scale = std::move(same_scale);
  std::vector<const Matrix*> weights;
  for (const Linear* linear : linears) weights.push_back(&linear->weight);
  ASSIGN_OR_RETURN(
      AwqScaleResult result,
      SearchAwqScale(weights, inputs.gram, Floats(inputs.magnitudes), options, threads()));
  return std::move(result.scales);
}

// Gives what the columns behind the norm are to be multiplied by: `scales`, but for what the norm's
// rounding to float16, in which it is stored, left of them. Nothing where it would lose digits, and
// stays as it is.
std::vector<float> AwqQuantizer::DivideNorm(std::span<const float> scales, Norm& norm) {
  std::vector<float> stored(scales.size()), factors(scales.size()), moved(scales.size(), 1.0f);
  for (size_t i = 0; i < scales.size(); ++i) {
    stored[i] = RoundedToHalf(norm.factors[i] / scales[i] - norm.offset);
    factors[i] = stored[i] + norm.offset;
    if (norm.factors[i] == 0) continue;
    if (!IsNormalHalf(norm.offset == 0 ? stored[i] : factors[i])) return {};
    moved[i] = norm.factors[i] / factors[i];
  }
  norm.factors = std::move(factors);
  changed_tensors_[StrCat(norm.module, ".weight")] = std::move(stored);
  return moved;
}

// Moves scales from the inputs of `linears` into the norm before them.
absl::Status AwqQuantizer::ScaleNorm(Norm& norm, const InputStatistics& inputs,
                                     std::vector<Linear>& linears) {
  std::vector<const Linear*> scaled;
  for (const Linear& linear : linears) scaled.push_back(&linear);
  ASSIGN_OR_RETURN(const std::vector<float> scales, Search(scaled, inputs, {}));
  if (scales.empty()) return absl::OkStatus();
  const std::vector<float> moved = DivideNorm(scales, norm);
  if (moved.empty()) return absl::OkStatus();
  for (Linear& linear : linears) linear.weight = ScaleColumns(std::move(linear.weight), moved);
  return absl::OkStatus();
}

absl::Status AwqQuantizer::OnAttention(uint32_t /*layer*/, const InputStatistics& input,
                                       const InputStatistics& output, AttentionWeights& weights) {
  changed_tensors_.clear();
  if (awq_.scale_value_to_output) {
    // Column h * head_dim + d of the output projection takes what row d of a value head gives, of
    // the same one for all query heads of a group.
    const size_t head_dim = config_.geometry.head_dim;
    const size_t group = config_.geometry.heads / config_.geometry.kv_heads;
    std::vector<uint32_t> value_row(config_.query_size());
    for (size_t col = 0; col < value_row.size(); ++col) {
      value_row[col] = static_cast<uint32_t>(col / head_dim / group * head_dim + col % head_dim);
    }
    const Linear* const projection[] = {&weights.output};
    ASSIGN_OR_RETURN(const std::vector<float> scales, Search(projection, output, value_row));
    std::vector<float> row_scales(config_.key_size(), 1);
    for (size_t col = 0; col < scales.size(); ++col) row_scales[value_row[col]] = scales[col];
    Linear& values = weights.qkv.back();
    if (!DivideRows(row_scales, values.weight.rows - row_scales.size(), values)) {
      Note(weights.output.module, NotScaledBias(values));
    } else if (!scales.empty()) {
      weights.output.weight = ScaleColumns(std::move(weights.output.weight), scales);
    }
  }
  if (!config_.architecture->forward.scales_attention_inputs) return absl::OkStatus();
  return ScaleNorm(weights.input_norm, input, weights.qkv);
}

// The norm before a mixture feeds its experts and the router, which stays in float16: by powers of
// two it keeps its digits, and each token goes where it went.
absl::StatusOr<std::vector<float>> AwqQuantizer::OnMixture(const InputStatistics& input,
                                                           FeedForwardWeights& shared,
                                                           const LoadExpertOf& load) {
  mixture_is_finite_ = IsFinite(input);
  if (!mixture_is_finite_) return std::vector<float>();
  AwqScaleOptions options = ScaleOptions();
  options.powers_of_two = true;
  ASSIGN_OR_RETURN(AwqScaleSearch search,
                   AwqScaleSearch::Start(input.gram, Floats(input.magnitudes), options, threads()));
  const uint32_t step = (shared.experts + kSearchedExperts - 1) / kSearchedExperts;
  for (uint32_t expert = 0; expert < shared.experts; expert += step) {
    ASSIGN_OR_RETURN(const ExpertWeights weights, load(expert));
    for (const Linear& linear : weights.gate_up) {
      RETURN_IF_ERROR(search.AddMagnitudes(linear.weight)) << linear.module;
    }
  }
  for (uint32_t expert = 0; expert < shared.experts; expert += step) {
    ASSIGN_OR_RETURN(const ExpertWeights weights, load(expert));
    for (const Linear& linear : weights.gate_up) search.AddLosses(linear.weight);
  }
  std::vector<float> scales = DivideNorm(std::move(search).Finish().scales, shared.input_norm);
  if (scales.empty()) return scales;
  Matrix& router = shared.router.weight;
  router = ScaleColumns(std::move(router), scales);
  for (float& value : router.values) value = RoundedToHalf(value);
  changed_tensors_[StrCat(shared.router.module, ".weight")] = router.values;
  return scales;
}

absl::Status AwqQuantizer::OnExpert(uint32_t /*layer*/, uint32_t /*expert*/,
                                    const InputStatistics& input, const InputStatistics& down,
                                    FeedForwardWeights& shared, ExpertWeights& weights) {
  if (shared.is_mixture() && !mixture_is_finite_) {
    for (const Linear& linear : weights.gate_up) {
      Note(linear.module, std::string(kNotScaledInputs));
    }
  }
  if (down.tokens < kLeastTokens) return absl::OkStatus();
  const Linear* const projection[] = {&weights.down};
  ASSIGN_OR_RETURN(const std::vector<float> scales, Search(projection, down, {}));
  Linear& up = weights.gate_up.back();
  if (!DivideRows(scales, up.weight.rows - scales.size(), up)) {
    Note(weights.down.module, NotScaledBias(up));
  } else if (!scales.empty()) {
    weights.down.weight = ScaleColumns(std::move(weights.down.weight), scales);
  }
  if (shared.is_mixture()) return absl::OkStatus();  // OnMixture did
  return ScaleNorm(shared.input_norm, input, weights.gate_up);
}

absl::Status AwqQuantizer::OnInputs(const SiteInputs& inputs, std::span<Linear* const> linears) {
  if (awq_.gptq_codes || inputs.statistics.tokens < kLeastTokens ||
      !CheckGramFinite(inputs.statistics.gram).ok()) {
    return GptqQuantizer::OnInputs(inputs, linears);
  }
  const AwqClipOptions options = {.group_size = awq_.group_size};
  const Matrix& gram = inputs.statistics.gram;
  const bool clips = inputs.site != Site::kAttentionInput;
  for (Linear* linear : linears) {
    AwqClip clip;
    // Of query and key a clipped weight changes where attention looks (the paper's code).
    const bool is_value = linear->gguf_name.find("attn_v") != std::string::npos;
    if (clips || is_value) {
      ASSIGN_OR_RETURN(clip, SearchAwqClip(linear->weight, gram, options, threads()),
                       << linear->module);
    }
    ASSIGN_OR_RETURN(const QuantizedLinear quantized,
                     AwqRound(linear->weight, clip, options, threads()), << linear->module);
    ModuleReport report;
    report.relative_error = RelativeError(linear->weight, quantized, gram, threads());
    linear->weight = Decoded(quantized);
    for (float& bias : linear->bias) bias = RoundedToHalf(bias);
    report.module = linear->module;
    report.layer = inputs.layer;
    report.tokens = inputs.statistics.tokens;
    MoveNotes(linear->module, report.notes);
    RETURN_IF_ERROR(sink().OnModule(inputs.layer, *linear, quantized, std::move(report)));
  }
  return absl::OkStatus();
}

absl::Status AwqQuantizer::OnLayerDone(uint32_t layer, const AttentionWeights& attention,
                                       const FeedForwardWeights& feed_forward) {
  for (const auto& [name, stored] : changed_tensors_) {
    RETURN_IF_ERROR(sink().OnTensor(layer, name, stored));
  }
  return GptqQuantizer::OnLayerDone(layer, attention, feed_forward);
}

}  // namespace quantized
