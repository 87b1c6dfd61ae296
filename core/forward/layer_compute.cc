#include "core/forward/layer_compute.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "core/forward/layer_steps.h"

namespace quantized {
namespace {

// Pieces that are computed before their statistics are added. More only costs memory; the sums come
// out the same (InputAccumulator).
constexpr size_t kLeastSlots = 4;

class ProcessorCompute : public LayerCompute {
 public:
  ProcessorCompute(const ForwardConfig& config, ThreadPool& threads)
      : config_(config), threads_(threads), slots_(ProcessorSlots(threads.size())) {}

  size_t slots() const override { return slots_.size(); }
  StatisticsKind most() const override { return StatisticsKind::kGram; }

  absl::Status SetInput(const Norm& norm) override {
    input_norm_ = &norm;
    return absl::OkStatus();
  }
  absl::Status SetAttention(const AttentionWeights& weights, uint32_t layer,
                            const RotaryTable& rotation) override {
    attention_ = &weights;
    layer_ = layer;
    rotation_ = &rotation;
    expert_ = nullptr;
    inner_width_ = config_.query_size();
    return absl::OkStatus();
  }
  absl::Status SetExpert(const ExpertWeights& weights) override {
    expert_ = &weights;
    attention_ = nullptr;
    inner_width_ = weights.down.weight.cols;
    return absl::OkStatus();
  }
  absl::Status SetOutput(const Linear& projection, const Norm& norm) override {
    projection_ = &projection;
    output_norm_ = &norm;
    return absl::OkStatus();
  }

  absl::Status MakeInput(size_t index, size_t rows, const float* x) override {
    Slot& slot = slots_[index];
    slot.rows = rows;
    ApplyNorm(config_, *input_norm_, rows, x, Room(slot.input, rows * hidden()));
    return absl::OkStatus();
  }
  absl::Status MakeInner(size_t index) override {
    Slot& slot = slots_[index];
    float* inner = Room(slot.inner, slot.rows * inner_width_);
    if (attention_ != nullptr) {
      Attend(config_, *attention_, layer_, *rotation_, slot.rows, slot.input.data(), inner);
    } else {
      GateAndUp(config_, *expert_, slot.rows, slot.input.data(), inner);
    }
    return absl::OkStatus();
  }
  absl::Status ReadInner(size_t index, float* inner) override {
    const Slot& slot = slots_[index];
    std::copy_n(slot.inner.data(), slot.rows * inner_width_, inner);
    return absl::OkStatus();
  }
  absl::Status WriteInner(size_t index, size_t rows, const float* inner) override {
    Slot& slot = slots_[index];
    slot.rows = rows;
    std::copy_n(inner, rows * inner_width_, Room(slot.inner, rows * inner_width_));
    return absl::OkStatus();
  }
  absl::Status MakeOutput(size_t index, float* y) override {
    const Slot& slot = slots_[index];
    ProjectOutput(config_, *projection_, *output_norm_, slot.rows, slot.inner.data(), y);
    return absl::OkStatus();
  }

  absl::Status StartSums(StatisticsKind input, StatisticsKind inner) override {
    input_sums_ = InputAccumulator(input, hidden());
    inner_sums_ = InputAccumulator(inner, inner_width_);
    return absl::OkStatus();
  }
  absl::Status AddToSums(size_t used) override {
    std::vector<InputAccumulator::Chunk> inputs, inners;
    for (size_t slot = 0; slot < used; ++slot) {
      inputs.push_back({slots_[slot].input.data(), slots_[slot].rows});
      inners.push_back({slots_[slot].inner.data(), slots_[slot].rows});
    }
    input_sums_.Add(inputs, threads_);
    inner_sums_.Add(inners, threads_);
    return absl::OkStatus();
  }
  absl::StatusOr<InputStatistics> FinishInput() override { return std::move(input_sums_).Finish(); }
  absl::StatusOr<InputStatistics> FinishInner() override { return std::move(inner_sums_).Finish(); }

 private:
  struct Slot {
    size_t rows = 0;
    std::vector<float> input, inner;  // grow as needed
  };

  // No more of it than that: what is planned (walk_needs.h) counts on it.
  static float* Room(std::vector<float>& values, size_t count) {
    if (values.size() < count) {
      std::vector<float>().swap(values);
      values.resize(count);
    }
    return values.data();
  }
  size_t hidden() const { return config_.geometry.hidden; }

  const ForwardConfig& config_;
  ThreadPool& threads_;
  std::vector<Slot> slots_;
  const Norm* input_norm_ = nullptr;
  const AttentionWeights* attention_ = nullptr;  // or expert_
  uint32_t layer_ = 0;
  const RotaryTable* rotation_ = nullptr;
  const ExpertWeights* expert_ = nullptr;
  size_t inner_width_ = 0;
  const Linear* projection_ = nullptr;
  const Norm* output_norm_ = nullptr;
  InputAccumulator input_sums_{StatisticsKind::kNone, 0}, inner_sums_{StatisticsKind::kNone, 0};
};

}  // namespace

size_t ProcessorSlots(size_t threads) { return std::max(kLeastSlots, threads); }

std::unique_ptr<LayerCompute> MakeProcessorCompute(const ForwardConfig& config,
                                                   ThreadPool& threads) {
  return std::make_unique<ProcessorCompute>(config, threads);
}

}  // namespace quantized
