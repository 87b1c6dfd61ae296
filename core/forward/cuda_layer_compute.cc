#include "core/forward/cuda_layer_compute.h"

#include <algorithm>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "core/base/check.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/forward/cuda_status.h"
#include "core/forward/layer_steps.h"
#include "core/forward/layer_weights.h"

namespace quantized {
namespace {

using kernels::CudaDeviceInfo;
using kernels::CudaStatus;
using kernels::ForwardCudaModule;
using kernels::ForwardDevice;

// Enough that copies to and from the device hide behind products; fewer where memory is short.
constexpr size_t kMostSlots = 4;
constexpr uint64_t kAlignment = 256;  // of each buffer, as cudaMalloc's

// What is asked for of a piece of memory, one buffer after the other.
class Layout {
 public:
  // Without `base`, for the size alone.
  explicit Layout(std::byte* base) : base_(base) {}

  template <class T>
  T* Take(uint64_t count) {
    const uint64_t at = bytes_;
    bytes_ += (count * sizeof(T) + kAlignment - 1) / kAlignment * kAlignment;
    return base_ == nullptr ? nullptr : reinterpret_cast<T*>(base_ + at);
  }
  uint64_t bytes() const { return bytes_; }

 private:
  std::byte* base_;
  uint64_t bytes_ = 0;
};

class CudaLayerCompute : public LayerCompute {
 public:
  CudaLayerCompute(const ForwardConfig& config, size_t window_length, StatisticsKind most)
      : config_(config), window_length_(window_length), most_(most) {}

  absl::Status Open(const ForwardCudaModule& module, int device);
  const std::string& device() const { return device_; }
  uint64_t memory_bytes() const { return memory_bytes_; }

  size_t slots() const override { return slots_.size(); }
  StatisticsKind most() const override { return most_; }

  absl::Status SetInput(const Norm& norm) override {
    return Upload(norm.factors, weights_.input_norm);
  }
  absl::Status SetAttention(const AttentionWeights& weights, uint32_t layer,
                            const RotaryTable& rotation) override;
  absl::Status SetExpert(const ExpertWeights& weights) override;
  absl::Status SetOutput(const Linear& projection, const Norm& norm) override;

  absl::Status MakeInput(size_t slot, size_t rows, const float* x) override;
  absl::Status MakeInner(size_t slot) override {
    return is_attention_ ? Attend(slots_[slot]) : GateAndUp(slots_[slot]);
  }
  absl::Status ReadInner(size_t slot, float* inner) override;
  absl::Status WriteInner(size_t slot, size_t rows, const float* inner) override;
  absl::Status MakeOutput(size_t slot, float* y) override;

  absl::Status StartSums(StatisticsKind input, StatisticsKind inner) override {
    RETURN_IF_ERROR(Start(input, hidden(), input_sums_));
    return Start(inner, inner_width_, inner_sums_);
  }
  absl::Status AddToSums(size_t used) override;
  absl::StatusOr<InputStatistics> FinishInput() override { return Finish(input_sums_); }
  absl::StatusOr<InputStatistics> FinishInner() override { return Finish(inner_sums_); }

 private:
  // All pointers are the device's.
  struct Slot {
    std::unique_ptr<ForwardDevice> device;
    size_t rows = 0;
    float *input = nullptr, *inner = nullptr;
    float* scratch = nullptr;  // q, k and v one after the other; or gate; or y
  };
  struct Weights {
    float* input_norm = nullptr;
    float *together = nullptr, *biases = nullptr;  // q, k and v, or gate and up: their rows in turn
    float *query_norm = nullptr, *key_norm = nullptr;
    float *cos = nullptr, *sin = nullptr;
    float *projection = nullptr, *projection_bias = nullptr, *output_norm = nullptr;
  };
  // y[rows, out] = x[rows, in] · weightᵀ + bias; a null bias is none.
  struct Part {
    size_t out, in;
    const float *weight, *bias;
  };
  struct Sums {
    StatisticsKind kind = StatisticsKind::kNone;
    size_t width = 0;
    uint64_t tokens = 0;
    float* gram = nullptr;
    double *squares = nullptr, *magnitudes = nullptr;
  };

  // Gives everything its place from `base` on, of which it returns the bytes.
  uint64_t LayOut(std::byte* base, std::span<Slot> slots);

  // It is there for all slots when this returns.
  absl::Status Upload(const std::vector<float>& values, float* to) {
    if (values.empty()) return absl::OkStatus();
    return Did(first().Upload(to, values.data(), values.size() * sizeof(float)));
  }
  absl::Status UploadTogether(const std::vector<Linear>& linears);
  // Rows [begin, begin + out) of what UploadTogether took.
  Part Rows(size_t begin, size_t out) const {
    return {out, hidden(), weights_.together + begin * hidden(),
            has_biases_ ? weights_.biases + begin : nullptr};
  }

  absl::Status Apply(Slot& slot, const Part& part, const float* x, float* y);
  absl::Status Normalize(Slot& slot, size_t rows, size_t cols, const float* factors, float* x) {
    return Did(slot.device->RmsNorm(rows, cols, x, factors, config_.norm_epsilon, x));
  }
  absl::Status Attend(Slot& slot);
  absl::Status GateAndUp(Slot& slot);

  absl::Status Start(StatisticsKind kind, size_t width, Sums& sums);
  absl::Status Add(size_t rows, const float* x, Sums& sums);
  absl::StatusOr<InputStatistics> Finish(const Sums& sums);

  absl::Status Did(const CudaStatus& status) const { return StatusOfCuda(status, device_); }
  // The stream of what is not a slot's.
  ForwardDevice& first() { return *slots_[0].device; }
  size_t hidden() const { return config_.geometry.hidden; }

  const ForwardConfig& config_;
  const size_t window_length_;
  const StatisticsKind most_;
  std::string device_;
  uint64_t memory_bytes_ = 0;
  std::vector<Slot> slots_;
  ForwardDevice::Memory memory_;  // goes before the slots' devices

  Weights weights_;
  bool is_attention_ = false, has_biases_ = false;
  bool has_head_norms_ = false, has_projection_bias_ = false, has_output_norm_ = false;
  uint32_t layer_ = 0, rotary_dim_ = 0;
  size_t inner_width_ = 0;
  Sums input_sums_, inner_sums_;
};

// ---- Memory

absl::Status CudaLayerCompute::Open(const ForwardCudaModule& module, int device) {
  device_ = StrCat("cuda:", device);
  CudaDeviceInfo info;
  RETURN_IF_ERROR(Did(module.Describe(device, info)));
  device_ = StrCat(device_, " ", info.name);
  slots_.resize(kMostSlots);
  memory_bytes_ = LayOut(nullptr, slots_);
  while (memory_bytes_ > info.free_bytes && slots_.size() > 1) {
    slots_.pop_back();
    memory_bytes_ = LayOut(nullptr, slots_);
  }
  const auto too_much = [&] {
    return OutOfCudaMemory("running the model", memory_bytes_, info.free_bytes, device_,
                           "use a smaller --sequence-length");
  };
  if (memory_bytes_ > info.free_bytes) return too_much();
  CudaStatus status;
  for (Slot& slot : slots_) {
    slot.device = module.OpenDevice(device, status);
    RETURN_IF_ERROR(Did(status));
  }
  memory_ = first().Allocate(memory_bytes_, status);
  if (status.code == kernels::kCudaOutOfMemory) return too_much();
  RETURN_IF_ERROR(Did(status));
  LayOut(static_cast<std::byte*>(memory_.get()), slots_);
  return absl::OkStatus();
}

uint64_t CudaLayerCompute::LayOut(std::byte* base, std::span<Slot> slots) {
  Layout layout(base);
  const uint64_t query = config_.query_size(), key = config_.key_size();
  const uint64_t width = FeedForwardWidth(config_);
  const uint64_t inner = std::max(query, width);
  const uint64_t together = std::max(query + 2 * key, 2 * width);
  const uint64_t head_dim = config_.geometry.head_dim;
  weights_ = {.input_norm = layout.Take<float>(hidden()),
              .together = layout.Take<float>(together * hidden()),
              .biases = layout.Take<float>(together),
              .query_norm = layout.Take<float>(head_dim),
              .key_norm = layout.Take<float>(head_dim),
              .cos = layout.Take<float>(window_length_ * head_dim / 2),
              .sin = layout.Take<float>(window_length_ * head_dim / 2),
              .projection = layout.Take<float>(hidden() * inner),
              .projection_bias = layout.Take<float>(hidden()),
              .output_norm = layout.Take<float>(hidden())};
  for (Slot& slot : slots) {
    slot.input = layout.Take<float>(window_length_ * hidden());
    slot.inner = layout.Take<float>(window_length_ * inner);
    slot.scratch =
        layout.Take<float>(window_length_ * std::max({query + 2 * key, width, hidden()}));
  }
  for (const auto& [sums, cols] :
       {std::pair{&input_sums_, uint64_t{hidden()}}, {&inner_sums_, inner}}) {
    if (most_ == StatisticsKind::kNone) continue;
    sums->squares = layout.Take<double>(cols);
    if (most_ != StatisticsKind::kGram) continue;
    sums->magnitudes = layout.Take<double>(cols);
    sums->gram = layout.Take<float>(cols * cols);
  }
  return layout.bytes();
}

// ---- Weights

absl::Status CudaLayerCompute::SetAttention(const AttentionWeights& weights, uint32_t layer,
                                            const RotaryTable& rotation) {
  CHECK(rotation.cos.rows <= window_length_);
  is_attention_ = true;
  layer_ = layer;
  rotary_dim_ = rotation.dim;
  inner_width_ = config_.query_size();
  has_head_norms_ = !weights.query_norm.factors.empty();
  RETURN_IF_ERROR(UploadTogether(weights.qkv));
  RETURN_IF_ERROR(Upload(weights.query_norm.factors, weights_.query_norm));
  RETURN_IF_ERROR(Upload(weights.key_norm.factors, weights_.key_norm));
  RETURN_IF_ERROR(Upload(rotation.cos.values, weights_.cos));
  return Upload(rotation.sin.values, weights_.sin);
}

absl::Status CudaLayerCompute::SetExpert(const ExpertWeights& weights) {
  is_attention_ = false;
  inner_width_ = weights.down.weight.cols;
  return UploadTogether(weights.gate_up);
}

absl::Status CudaLayerCompute::SetOutput(const Linear& projection, const Norm& norm) {
  has_projection_bias_ = !projection.bias.empty();
  has_output_norm_ = !norm.factors.empty();
  RETURN_IF_ERROR(Upload(projection.weight.values, weights_.projection));
  RETURN_IF_ERROR(Upload(projection.bias, weights_.projection_bias));
  return Upload(norm.factors, weights_.output_norm);
}

// Where only some have a bias, that of the others is 0.
absl::Status CudaLayerCompute::UploadTogether(const std::vector<Linear>& linears) {
  has_biases_ = std::ranges::any_of(linears, [](const Linear& one) { return !one.bias.empty(); });
  size_t row = 0;
  for (const Linear& linear : linears) {
    RETURN_IF_ERROR(Upload(linear.weight.values, weights_.together + row * hidden()));
    if (linear.bias.empty()) {
      RETURN_IF_ERROR(Did(first().Zero(weights_.biases + row, linear.weight.rows * sizeof(float))));
    } else {
      RETURN_IF_ERROR(Upload(linear.bias, weights_.biases + row));
    }
    row += linear.weight.rows;
  }
  return Did(first().Wait());
}

// ---- Steps

absl::Status CudaLayerCompute::MakeInput(size_t index, size_t rows, const float* x) {
  Slot& slot = slots_[index];
  slot.rows = rows;
  RETURN_IF_ERROR(Did(slot.device->Upload(slot.input, x, rows * hidden() * sizeof(float))));
  return Normalize(slot, rows, hidden(), weights_.input_norm, slot.input);
}

absl::Status CudaLayerCompute::Apply(Slot& slot, const Part& part, const float* x, float* y) {
  if (part.bias != nullptr) {
    RETURN_IF_ERROR(Did(slot.device->FillRows(slot.rows, part.out, part.bias, y, part.out)));
  }
  return Did(slot.device->MatMulNt({.m = slot.rows,
                                    .n = part.out,
                                    .k = part.in,
                                    .a = x,
                                    .lda = part.in,
                                    .b = part.weight,
                                    .ldb = part.in,
                                    .c = y,
                                    .ldc = part.out,
                                    .alpha = 1,
                                    .beta = part.bias != nullptr ? 1.0f : 0.0f}));
}

// As layer_steps.cc, with q, k and v apart.
absl::Status CudaLayerCompute::Attend(Slot& slot) {
  const size_t query = config_.query_size(), key = config_.key_size();
  const size_t heads = config_.geometry.heads, kv_heads = config_.geometry.kv_heads;
  const size_t head_dim = config_.geometry.head_dim;
  float* q = slot.scratch;
  float* k = q + slot.rows * query;
  float* v = k + slot.rows * key;
  RETURN_IF_ERROR(Apply(slot, Rows(0, query), slot.input, q));
  RETURN_IF_ERROR(Apply(slot, Rows(query, key), slot.input, k));
  RETURN_IF_ERROR(Apply(slot, Rows(query + key, key), slot.input, v));
  if (has_head_norms_) {
    RETURN_IF_ERROR(Normalize(slot, slot.rows * heads, head_dim, weights_.query_norm, q));
    RETURN_IF_ERROR(Normalize(slot, slot.rows * kv_heads, head_dim, weights_.key_norm, k));
  }
  RETURN_IF_ERROR(Did(slot.device->ApplyRotary(slot.rows, heads, head_dim, rotary_dim_,
                                               weights_.cos, weights_.sin, q, query)));
  RETURN_IF_ERROR(Did(slot.device->ApplyRotary(slot.rows, kv_heads, head_dim, rotary_dim_,
                                               weights_.cos, weights_.sin, k, key)));
  return Did(slot.device->Attention(AttentionShapeOf(config_, layer_, slot.rows), q, query, k, v,
                                    key, slot.inner, query));
}

absl::Status CudaLayerCompute::GateAndUp(Slot& slot) {
  float *gate = slot.scratch, *up = slot.inner;
  RETURN_IF_ERROR(Apply(slot, Rows(0, inner_width_), slot.input, gate));
  RETURN_IF_ERROR(Apply(slot, Rows(inner_width_, inner_width_), slot.input, up));
  return Did(slot.device->GatedActivation(ActivationOf(config_), slot.rows * inner_width_, gate, up,
                                          slot.inner));
}

absl::Status CudaLayerCompute::MakeOutput(size_t index, float* y) {
  Slot& slot = slots_[index];
  const Part projection = {hidden(), inner_width_, weights_.projection,
                           has_projection_bias_ ? weights_.projection_bias : nullptr};
  RETURN_IF_ERROR(Apply(slot, projection, slot.inner, slot.scratch));
  if (has_output_norm_) {
    RETURN_IF_ERROR(Normalize(slot, slot.rows, hidden(), weights_.output_norm, slot.scratch));
  }
  return Did(slot.device->Download(y, slot.scratch, slot.rows * hidden() * sizeof(float)));
}

absl::Status CudaLayerCompute::ReadInner(size_t index, float* inner) {
  const Slot& slot = slots_[index];
  return Did(slot.device->Download(inner, slot.inner, slot.rows * inner_width_ * sizeof(float)));
}

absl::Status CudaLayerCompute::WriteInner(size_t index, size_t rows, const float* inner) {
  Slot& slot = slots_[index];
  slot.rows = rows;
  return Did(slot.device->Upload(slot.inner, inner, rows * inner_width_ * sizeof(float)));
}

// ---- Sums

absl::Status CudaLayerCompute::Start(StatisticsKind kind, size_t width, Sums& sums) {
  CHECK(kind <= most_);
  sums.kind = kind;
  sums.width = width;
  sums.tokens = 0;
  if (kind == StatisticsKind::kNone) return absl::OkStatus();
  RETURN_IF_ERROR(Did(first().Zero(sums.squares, width * sizeof(double))));
  if (kind != StatisticsKind::kGram) return absl::OkStatus();
  RETURN_IF_ERROR(Did(first().Zero(sums.magnitudes, width * sizeof(double))));
  return Did(first().Zero(sums.gram, width * width * sizeof(float)));
}

// On one stream, in the order of slots, so that timing shows nowhere.
absl::Status CudaLayerCompute::AddToSums(size_t used) {
  for (size_t i = 0; i < used; ++i) RETURN_IF_ERROR(Did(slots_[i].device->Wait()));
  for (size_t i = 0; i < used; ++i) {
    RETURN_IF_ERROR(Add(slots_[i].rows, slots_[i].input, input_sums_));
    RETURN_IF_ERROR(Add(slots_[i].rows, slots_[i].inner, inner_sums_));
  }
  return Did(first().Wait());
}

absl::Status CudaLayerCompute::Add(size_t rows, const float* x, Sums& sums) {
  if (sums.kind == StatisticsKind::kNone) return absl::OkStatus();
  sums.tokens += rows;
  const bool wants_gram = sums.kind == StatisticsKind::kGram;
  RETURN_IF_ERROR(Did(first().AddColumnSums(rows, sums.width, x, sums.width, sums.squares,
                                            wants_gram ? sums.magnitudes : nullptr)));
  if (!wants_gram) return absl::OkStatus();
  return Did(first().AddGram(rows, sums.width, x, sums.width, sums.gram, sums.width));
}

absl::StatusOr<InputStatistics> CudaLayerCompute::Finish(const Sums& sums) {
  InputStatistics statistics;
  if (sums.kind == StatisticsKind::kNone) return statistics;
  const size_t width = sums.width;
  statistics.tokens = sums.tokens;
  statistics.squares.resize(width);
  RETURN_IF_ERROR(
      Did(first().Download(statistics.squares.data(), sums.squares, width * sizeof(double))));
  if (sums.kind == StatisticsKind::kGram) {
    statistics.magnitudes.resize(width);
    statistics.gram = Matrix(width, width);
    RETURN_IF_ERROR(Did(
        first().Download(statistics.magnitudes.data(), sums.magnitudes, width * sizeof(double))));
    RETURN_IF_ERROR(Did(
        first().Download(statistics.gram.values.data(), sums.gram, width * width * sizeof(float))));
  }
  return MeansOf(std::move(statistics));
}

}  // namespace

absl::StatusOr<CudaCompute> OpenCudaCompute(const ForwardCudaModule& module, int device,
                                            const ForwardConfig& config, size_t window_length,
                                            StatisticsKind most) {
  auto compute = std::make_unique<CudaLayerCompute>(config, window_length, most);
  RETURN_IF_ERROR(compute->Open(module, device));
  CudaCompute opened = {
      .layers = nullptr, .device = compute->device(), .memory_bytes = compute->memory_bytes()};
  opened.layers = std::move(compute);
  return opened;
}

}  // namespace quantized
