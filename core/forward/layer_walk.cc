#include "core/forward/layer_walk.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/forward/layer_steps.h"

namespace quantized {
namespace {

// Pieces of a window's length that are computed before their statistics are added. More only costs
// memory; the sums come out the same (InputAccumulator).
constexpr size_t kLeastSlots = 4;
size_t Slots(const ThreadPool& threads) { return std::max(kLeastSlots, threads.size()); }

absl::Status FirstFailure(std::span<const absl::Status> statuses) {
  for (const absl::Status& status : statuses) RETURN_IF_ERROR(status);
  return absl::OkStatus();
}

std::vector<Linear*> Pointers(std::vector<Linear>& linears) {
  std::vector<Linear*> pointers;
  for (Linear& linear : linears) pointers.push_back(&linear);
  return pointers;
}

void ScaleColumns(std::span<const float> scales, Matrix& weight) {
  for (size_t row = 0; row < weight.rows && !scales.empty(); ++row) {
    for (size_t col = 0; col < weight.cols; ++col) weight.at(row, col) *= scales[col];
  }
}

// What the slots of a batch hold at one place: up to a window of rows each.
class SlotBuffers {
 public:
  SlotBuffers(size_t slots, size_t rows, size_t width)
      : values_(slots, std::vector<float>(rows * width)), counts_(slots) {}

  float* Use(size_t slot, size_t rows) {
    counts_[slot] = rows;
    return values_[slot].data();
  }
  void AddTo(InputAccumulator& accumulator, size_t slots, ThreadPool& threads) const {
    std::vector<InputAccumulator::Chunk> chunks;
    for (size_t slot = 0; slot < slots; ++slot) {
      chunks.push_back({values_[slot].data(), counts_[slot]});
    }
    accumulator.Add(chunks, threads);
  }

 private:
  std::vector<std::vector<float>> values_;
  std::vector<size_t> counts_;
};

}  // namespace

// The tokens that an expert takes, in order, and how much of its output each gets.
struct LayerWalk::ExpertRows {
  std::vector<uint32_t> rows;
  std::vector<float> weights;
};

absl::StatusOr<std::unique_ptr<LayerWalk>> LayerWalk::Start(
    const ForwardConfig& config, const HfConfig& hf_config, const TensorSource& source,
    std::span<const std::vector<uint32_t>> windows, WalkOptions options, JobContext& context) {
  CHECK(!windows.empty() && !windows[0].empty());
  const size_t length = windows[0].size();
  const uint64_t tokens = uint64_t{windows.size()} * length;
  const uint64_t bytes = tokens * config.geometry.hidden * sizeof(float);
  ASSIGN_OR_RETURN(
      ActivationStore hidden,
      ActivationStore::Create(tokens, config.geometry.hidden,
                              bytes > options.memory_budget_bytes ? options.spill_folder : ""));
  std::unique_ptr<LayerWalk> walk(new LayerWalk(config, std::move(options), context,
                                                std::move(hidden), windows.size(), length));
  const auto positions = static_cast<uint32_t>(length);
  ASSIGN_OR_RETURN(walk->rotation_,
                   MakeRotaryTable(hf_config, config.geometry, /*local=*/false, positions));
  if (std::ranges::any_of(config.layers, [](const auto& layer) { return layer.local_rotation; })) {
    ASSIGN_OR_RETURN(walk->local_rotation_,
                     MakeRotaryTable(hf_config, config.geometry, /*local=*/true, positions));
  }
  walk->all_rows_.resize(tokens);
  std::iota(walk->all_rows_.begin(), walk->all_rows_.end(), 0);
  RETURN_IF_ERROR(walk->Embed(source, windows));
  return walk;
}

absl::Status LayerWalk::Embed(const TensorSource& source,
                              std::span<const std::vector<uint32_t>> windows) {
  const TensorSource::Tensor* table = FindByRole(config_, source, "token_embd");
  const size_t hidden = config_.geometry.hidden;
  if (table == nullptr || table->shape.size() != 2 || table->shape[1] != hidden) {
    return MakeError(Error::kValidationFailed,
                     StrCat("tensor embed_tokens.weight: expected rows of ", hidden,
                            " values, found ", table == nullptr ? "nothing" : "another shape"));
  }
  std::vector<absl::Status> statuses(windows.size());
  context_.threads.ParallelFor(windows.size(), [&](size_t window) {
    std::vector<float> rows(window_length_ * hidden);
    for (size_t token = 0; token < window_length_; ++token) {
      const uint32_t id = windows[window][token];
      if (id >= table->shape[0]) {
        statuses[window] = MakeError(Error::kValidationFailed,
                                     StrCat("token id ", id, ": expected less than the ",
                                            table->shape[0], " rows of the embedding"),
                                     "Check that tokenizer and weights belong together");
        return;
      }
      statuses[window].Update(source.ReadRows(*table, id, 1, rows.data() + token * hidden));
    }
    for (float& value : rows) value *= config_.embedding_scale;
    statuses[window].Update(hidden_.Write(window * window_length_, window_length_, rows.data()));
  });
  return FirstFailure(statuses);
}

// A store beside the hidden activations: in a file where both exceed the budget.
absl::StatusOr<ActivationStore> LayerWalk::NewStore(uint64_t rows, uint64_t width) const {
  const uint64_t bytes =
      (rows * width + (hidden_.spilled() ? 0 : hidden_.rows() * hidden_.width())) * sizeof(float);
  return ActivationStore::Create(rows, width,
                                 bytes > options_.memory_budget_bytes ? options_.spill_folder : "");
}

uint64_t LayerWalk::MemoryBytes(const ForwardConfig& config, uint64_t tokens,
                                const WalkOptions& options) {
  const uint64_t inner = std::max({config.query_size(), uint64_t{config.geometry.feed_forward},
                                   uint64_t{config.expert_feed_forward}});
  const uint64_t hidden_bytes = tokens * config.geometry.hidden * sizeof(float);
  const uint64_t both_bytes = hidden_bytes + tokens * inner * sizeof(float);
  if (both_bytes <= options.memory_budget_bytes) return both_bytes;
  return hidden_bytes <= options.memory_budget_bytes ? hidden_bytes : 0;
}

absl::Status LayerWalk::ForEachBatch(std::span<const uint32_t> rows, const Compute& compute,
                                     const After& after) {
  const size_t slots = Slots(context_.threads);
  const size_t pieces = (rows.size() + window_length_ - 1) / window_length_;
  std::vector<absl::Status> statuses(slots);
  for (size_t first = 0; first < pieces; first += slots) {
    RETURN_IF_ERROR(context_.CheckStopped());
    const size_t count = std::min(slots, pieces - first);
    context_.threads.ParallelFor(count, [&](size_t slot) {
      const size_t begin = (first + slot) * window_length_;
      statuses[slot] =
          compute(rows.subspan(begin, std::min(window_length_, rows.size() - begin)), slot);
    });
    RETURN_IF_ERROR(FirstFailure(statuses));
    after(count);
  }
  return absl::OkStatus();
}

std::vector<uint32_t> LayerWalk::ObservedRows(std::span<const uint32_t> rows) const {
  const size_t pieces = (rows.size() + window_length_ - 1) / window_length_;
  const size_t observed =
      std::min(pieces, (options_.observed_tokens + window_length_ - 1) / window_length_);
  std::vector<uint32_t> sample;
  for (size_t i = 0; i < observed; ++i) {
    const size_t begin = i * pieces / observed * window_length_;
    const auto piece = rows.subspan(begin, std::min(window_length_, rows.size() - begin));
    sample.insert(sample.end(), piece.begin(), piece.end());
  }
  return sample;
}

absl::Status LayerWalk::RunLayer(uint32_t layer, const TensorSource& source,
                                 LayerVisitor& visitor) {
  ASSIGN_OR_RETURN(AttentionWeights attention, LoadAttention(config_, source, layer));
  RETURN_IF_ERROR(RunAttention(layer, visitor, attention));
  // Only the norms are needed from here on.
  attention.qkv.clear();
  attention.output = {};
  ASSIGN_OR_RETURN(FeedForwardWeights feed_forward, LoadFeedForward(config_, source, layer));
  RETURN_IF_ERROR(RunFeedForward(layer, source, visitor, feed_forward));
  return visitor.OnLayerDone(layer, attention, feed_forward);
}

absl::Status LayerWalk::RunAttention(uint32_t layer, LayerVisitor& visitor,
                                     AttentionWeights& weights) {
  const size_t hidden = config_.geometry.hidden, query = config_.query_size();
  const size_t slots = Slots(context_.threads);
  ThreadPool& threads = context_.threads;
  SlotBuffers inputs(slots, window_length_, hidden), outputs(slots, window_length_, query);
  const auto none = [](size_t) {};

  // Each piece is a whole window.
  const auto normed = [&](std::span<const uint32_t> rows, size_t slot) -> absl::StatusOr<float*> {
    float* h = inputs.Use(slot, rows.size());
    RETURN_IF_ERROR(hidden_.Read(rows[0], rows.size(), h));
    ApplyNorm(config_, weights.input_norm, rows.size(), h, h);
    return h;
  };
  const auto attended = [&](std::span<const uint32_t> rows, size_t slot) -> absl::StatusOr<float*> {
    ASSIGN_OR_RETURN(const float* h, normed(rows, slot));
    float* a = outputs.Use(slot, rows.size());
    Attend(config_, weights, layer, RotationOf(layer), rows.size(), h, a);
    return a;
  };
  const auto add = [&](std::span<const uint32_t> rows, const float* a) -> absl::Status {
    std::vector<float> x(rows.size() * hidden);
    RETURN_IF_ERROR(hidden_.Read(rows[0], rows.size(), x.data()));
    AddAttention(config_, weights, rows.size(), a, x.data());
    return hidden_.Write(rows[0], rows.size(), x.data());
  };
  const auto visit = [&](Site site, InputAccumulator& sums, std::span<Linear* const> linears) {
    const InputStatistics statistics = std::move(sums).Finish();
    return visitor.OnInputs({layer, site, 0, statistics}, linears);
  };

  if (visitor.ObservesBlocks()) {
    InputAccumulator input(StatisticsKind::kGram, hidden), output(StatisticsKind::kGram, query);
    RETURN_IF_ERROR(ForEachBatch(
        ObservedRows(all_rows_),
        [&](std::span<const uint32_t> rows, size_t slot) { return attended(rows, slot).status(); },
        [&](size_t used) {
          inputs.AddTo(input, used, threads);
          outputs.AddTo(output, used, threads);
        }));
    RETURN_IF_ERROR(
        visitor.OnAttention(layer, std::move(input).Finish(), std::move(output).Finish(), weights));
  }

  const StatisticsKind input_kind = visitor.Wants(Site::kAttentionInput);
  InputAccumulator input(input_kind, hidden);
  InputAccumulator output(visitor.Wants(Site::kAttentionOutput), query);
  const std::vector<Linear*> qkv = Pointers(weights.qkv);
  Linear* const projection[] = {&weights.output};
  if (!visitor.ChangesWeights()) {
    const auto run_through = [&](std::span<const uint32_t> rows, size_t slot) -> absl::Status {
      ASSIGN_OR_RETURN(const float* a, attended(rows, slot));
      return add(rows, a);
    };
    RETURN_IF_ERROR(ForEachBatch(all_rows_, run_through, [&](size_t used) {
      inputs.AddTo(input, used, threads);
      outputs.AddTo(output, used, threads);
    }));
    RETURN_IF_ERROR(visit(Site::kAttentionInput, input, qkv));
    return visit(Site::kAttentionOutput, output, projection);
  }

  if (input_kind != StatisticsKind::kNone) {
    RETURN_IF_ERROR(ForEachBatch(
        all_rows_,
        [&](std::span<const uint32_t> rows, size_t slot) { return normed(rows, slot).status(); },
        [&](size_t used) { inputs.AddTo(input, used, threads); }));
  }
  RETURN_IF_ERROR(visit(Site::kAttentionInput, input, qkv));
  ASSIGN_OR_RETURN(ActivationStore between, NewStore(all_rows_.size(), query));
  const auto keep = [&](std::span<const uint32_t> rows, size_t slot) -> absl::Status {
    ASSIGN_OR_RETURN(const float* a, attended(rows, slot));
    return between.Write(rows[0], rows.size(), a);
  };
  RETURN_IF_ERROR(
      ForEachBatch(all_rows_, keep, [&](size_t used) { outputs.AddTo(output, used, threads); }));
  RETURN_IF_ERROR(visit(Site::kAttentionOutput, output, projection));
  return ForEachBatch(
      all_rows_,
      [&](std::span<const uint32_t> rows, size_t slot) -> absl::Status {
        float* a = outputs.Use(slot, rows.size());
        RETURN_IF_ERROR(between.Read(rows[0], rows.size(), a));
        return add(rows, a);
      },
      none);
}

absl::StatusOr<std::vector<LayerWalk::ExpertRows>> LayerWalk::RouteAll(
    const FeedForwardWeights& shared) {
  const size_t hidden = config_.geometry.hidden, chosen = config_.experts_per_token;
  std::vector<std::vector<Route>> routes(windows_);
  const auto route = [&](std::span<const uint32_t> rows, size_t) -> absl::Status {
    std::vector<float> h(rows.size() * hidden);
    RETURN_IF_ERROR(hidden_.Read(rows[0], rows.size(), h.data()));
    ApplyNorm(config_, shared.input_norm, rows.size(), h.data(), h.data());
    routes[rows[0] / window_length_] = RouteTokens(config_, shared, rows.size(), h.data());
    return absl::OkStatus();
  };
  RETURN_IF_ERROR(ForEachBatch(all_rows_, route, [](size_t) {}));
  std::vector<ExpertRows> experts(shared.experts);
  for (size_t window = 0; window < windows_; ++window) {
    for (size_t i = 0; i < routes[window].size(); ++i) {
      ExpertRows& expert = experts[routes[window][i].expert];
      expert.rows.push_back(static_cast<uint32_t>(window * window_length_ + i / chosen));
      expert.weights.push_back(routes[window][i].weight);
    }
  }
  return experts;
}

absl::StatusOr<InputStatistics> LayerWalk::ObserveMixture(const FeedForwardWeights& shared) {
  const size_t hidden = config_.geometry.hidden;
  SlotBuffers inputs(Slots(context_.threads), window_length_, hidden);
  InputAccumulator sums(StatisticsKind::kGram, hidden);
  const auto normed = [&](std::span<const uint32_t> rows, size_t slot) -> absl::Status {
    float* h = inputs.Use(slot, rows.size());
    RETURN_IF_ERROR(hidden_.Gather(rows, h));
    ApplyNorm(config_, shared.input_norm, rows.size(), h, h);
    return absl::OkStatus();
  };
  RETURN_IF_ERROR(ForEachBatch(ObservedRows(all_rows_), normed,
                               [&](size_t used) { inputs.AddTo(sums, used, context_.threads); }));
  return std::move(sums).Finish();
}

absl::Status LayerWalk::RunFeedForward(uint32_t layer, const TensorSource& source,
                                       LayerVisitor& visitor, FeedForwardWeights& shared) {
  const size_t hidden = config_.geometry.hidden;
  if (!shared.is_mixture()) {
    ASSIGN_OR_RETURN(ExpertWeights weights, LoadExpert(config_, source, layer, 0));
    return RunExpert(layer, 0, {all_rows_, {}}, visitor, shared, weights, nullptr);
  }
  const LayerVisitor::LoadExpertOf load = [&](uint32_t expert) {
    return LoadExpert(config_, source, layer, expert);
  };
  std::vector<float> column_scales;
  if (visitor.ObservesBlocks()) {
    ASSIGN_OR_RETURN(const InputStatistics input, ObserveMixture(shared));
    ASSIGN_OR_RETURN(column_scales, visitor.OnMixture(input, shared, load));
  }
  ASSIGN_OR_RETURN(const std::vector<ExpertRows> experts, RouteAll(shared));
  ASSIGN_OR_RETURN(ActivationStore mixed, NewStore(all_rows_.size(), hidden));
  for (uint32_t expert = 0; expert < shared.experts; ++expert) {
    ASSIGN_OR_RETURN(ExpertWeights weights, load(expert));
    for (Linear& linear : weights.gate_up) ScaleColumns(column_scales, linear.weight);
    RETURN_IF_ERROR(RunExpert(layer, expert, experts[expert], visitor, shared, weights, &mixed));
  }
  return ForEachBatch(
      all_rows_,
      [&](std::span<const uint32_t> rows, size_t) -> absl::Status {
        std::vector<float> x(rows.size() * hidden), y(rows.size() * hidden);
        RETURN_IF_ERROR(hidden_.Read(rows[0], rows.size(), x.data()));
        RETURN_IF_ERROR(mixed.Read(rows[0], rows.size(), y.data()));
        if (!shared.output_norm.factors.empty()) {
          ApplyNorm(config_, shared.output_norm, rows.size(), y.data(), y.data());
        }
        for (size_t i = 0; i < x.size(); ++i) x[i] += y[i];
        return hidden_.Write(rows[0], rows.size(), x.data());
      },
      [](size_t) {});
}

// `mixed` collects the outputs of a mixture's experts; null: they are added to hidden_.
absl::Status LayerWalk::RunExpert(uint32_t layer, uint32_t expert, const ExpertRows& taken,
                                  LayerVisitor& visitor, FeedForwardWeights& shared,
                                  ExpertWeights& weights, ActivationStore* mixed) {
  const size_t hidden = config_.geometry.hidden, width = shared.width;
  const size_t slots = Slots(context_.threads);
  ThreadPool& threads = context_.threads;
  SlotBuffers inputs(slots, window_length_, hidden), products(slots, window_length_, width);

  const auto normed = [&](std::span<const uint32_t> rows, size_t slot) -> absl::StatusOr<float*> {
    float* h = inputs.Use(slot, rows.size());
    RETURN_IF_ERROR(hidden_.Gather(rows, h));
    ApplyNorm(config_, shared.input_norm, rows.size(), h, h);
    return h;
  };
  const auto gated = [&](std::span<const uint32_t> rows, size_t slot) -> absl::StatusOr<float*> {
    ASSIGN_OR_RETURN(const float* h, normed(rows, slot));
    float* product = products.Use(slot, rows.size());
    GateAndUp(config_, weights, rows.size(), h, product);
    return product;
  };
  // Where in taken.rows a piece of them begins.
  const auto index_of = [&](std::span<const uint32_t> rows) {
    return static_cast<size_t>(rows.data() - taken.rows.data());
  };
  const auto add = [&](std::span<const uint32_t> rows, const float* product) -> absl::Status {
    std::vector<float> y(rows.size() * hidden), sum(rows.size() * hidden);
    ApplyLinear(weights.down, rows.size(), product, y.data(), hidden);
    if (mixed != nullptr) {
      const float* share = taken.weights.data() + index_of(rows);
      RETURN_IF_ERROR(mixed->Gather(rows, sum.data()));
      for (size_t i = 0; i < y.size(); ++i) sum[i] += share[i / hidden] * y[i];
      return mixed->Scatter(rows, sum.data());
    }
    if (!shared.output_norm.factors.empty()) {
      ApplyNorm(config_, shared.output_norm, rows.size(), y.data(), y.data());
    }
    RETURN_IF_ERROR(hidden_.Gather(rows, sum.data()));
    for (size_t i = 0; i < y.size(); ++i) sum[i] += y[i];
    return hidden_.Scatter(rows, sum.data());
  };
  const auto visit = [&](Site site, InputAccumulator& sums, std::span<Linear* const> linears) {
    const InputStatistics statistics = std::move(sums).Finish();
    return visitor.OnInputs({layer, site, expert, statistics}, linears);
  };
  const std::vector<uint32_t>& seen =
      mixed != nullptr && options_.all_tokens_to_experts ? all_rows_ : taken.rows;
  const bool sees_others = &seen != &taken.rows;

  if (visitor.ObservesBlocks()) {
    InputAccumulator input(StatisticsKind::kGram, hidden), down(StatisticsKind::kGram, width);
    RETURN_IF_ERROR(ForEachBatch(
        ObservedRows(seen),
        [&](std::span<const uint32_t> rows, size_t slot) { return gated(rows, slot).status(); },
        [&](size_t used) {
          inputs.AddTo(input, used, threads);
          products.AddTo(down, used, threads);
        }));
    RETURN_IF_ERROR(visitor.OnExpert(layer, expert, std::move(input).Finish(),
                                     std::move(down).Finish(), shared, weights));
  }

  const StatisticsKind input_kind = visitor.Wants(Site::kFeedForwardInput);
  const StatisticsKind down_kind = visitor.Wants(Site::kDownInput);
  InputAccumulator input(input_kind, hidden), down(down_kind, width);
  const std::vector<Linear*> gate_up = Pointers(weights.gate_up);
  Linear* const projection[] = {&weights.down};
  const auto run_through = [&](const After& after) {
    return ForEachBatch(
        taken.rows,
        [&](std::span<const uint32_t> rows, size_t slot) -> absl::Status {
          ASSIGN_OR_RETURN(const float* product, gated(rows, slot));
          return add(rows, product);
        },
        after);
  };
  if (!visitor.ChangesWeights() && !sees_others) {
    RETURN_IF_ERROR(run_through([&](size_t used) {
      inputs.AddTo(input, used, threads);
      products.AddTo(down, used, threads);
    }));
    RETURN_IF_ERROR(visit(Site::kFeedForwardInput, input, gate_up));
    return visit(Site::kDownInput, down, projection);
  }

  if (input_kind != StatisticsKind::kNone) {
    RETURN_IF_ERROR(ForEachBatch(
        seen,
        [&](std::span<const uint32_t> rows, size_t slot) { return normed(rows, slot).status(); },
        [&](size_t used) { inputs.AddTo(input, used, threads); }));
  }
  RETURN_IF_ERROR(visit(Site::kFeedForwardInput, input, gate_up));
  if (sees_others) {
    RETURN_IF_ERROR(ForEachBatch(
        seen,
        [&](std::span<const uint32_t> rows, size_t slot) { return gated(rows, slot).status(); },
        [&](size_t used) { products.AddTo(down, used, threads); }));
    RETURN_IF_ERROR(visit(Site::kDownInput, down, projection));
    return run_through([](size_t) {});
  }
  // By index in taken.rows.
  ASSIGN_OR_RETURN(ActivationStore between, NewStore(taken.rows.size(), width));
  const auto keep = [&](std::span<const uint32_t> rows, size_t slot) -> absl::Status {
    ASSIGN_OR_RETURN(const float* product, gated(rows, slot));
    return between.Write(index_of(rows), rows.size(), product);
  };
  RETURN_IF_ERROR(
      ForEachBatch(taken.rows, keep, [&](size_t used) { products.AddTo(down, used, threads); }));
  RETURN_IF_ERROR(visit(Site::kDownInput, down, projection));
  return ForEachBatch(
      taken.rows,
      [&](std::span<const uint32_t> rows, size_t slot) -> absl::Status {
        float* product = products.Use(slot, rows.size());
        RETURN_IF_ERROR(between.Read(index_of(rows), rows.size(), product));
        return add(rows, product);
      },
      [](size_t) {});
}

}  // namespace quantized
