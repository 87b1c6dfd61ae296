#include "core/forward/layer_walk.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/forward/compute_check.h"
#include "core/forward/layer_steps.h"
#include "core/forward/walk_needs.h"

namespace quantized {
namespace {

absl::Status FirstFailure(std::span<const absl::Status> statuses) {
  for (const absl::Status& status : statuses) RETURN_IF_ERROR(status);
  return absl::OkStatus();
}

std::vector<Linear*> Pointers(std::vector<Linear>& linears) {
  std::vector<Linear*> pointers;
  for (Linear& linear : linears) pointers.push_back(&linear);
  return pointers;
}

}  // namespace

// The tokens that an expert takes, in order, and how much of its output each gets.
struct LayerWalk::ExpertRows {
  std::vector<uint32_t> rows;
  std::vector<float> weights;
};

// What attention and an expert differ in.
struct LayerWalk::Half {
  uint32_t layer, expert;
  Site input_site, inner_site;
  std::vector<Linear*> linears;  // that take the inputs
  Linear& projection;
  size_t inner_width;
  const Norm& input_norm;
  const Norm& output_norm;
  std::span<const uint32_t> rows;  // tokens that it has outputs for
  std::span<const uint32_t> seen;  // of statistics; `rows` itself, or all tokens
  // Of a mixture: where outputs go, and how much of each of `rows`. Null: to hidden_, whole.
  ActivationStore* mixed = nullptr;
  std::span<const float> shares;
  std::function<absl::Status()> set_inner;  // of the compute, to the weights as they are
  std::function<absl::Status(const InputStatistics& input, const InputStatistics& inner)> observe;

  bool sees_others() const { return seen.data() != rows.data(); }
  // Where in `rows` a piece of them begins.
  size_t IndexOf(std::span<const uint32_t> piece) const {
    return static_cast<size_t>(piece.data() - rows.data());
  }
};

absl::StatusOr<std::unique_ptr<LayerWalk>> LayerWalk::Start(
    const ForwardConfig& config, const HfConfig& hf_config, const TensorSource& source,
    std::span<const std::vector<uint32_t>> windows, WalkOptions options, JobContext& context) {
  CHECK(!windows.empty() && !windows[0].empty());
  const size_t length = windows[0].size();
  const uint64_t tokens = uint64_t{windows.size()} * length;
  const uint64_t bytes = tokens * config.geometry.hidden * sizeof(float);
  ASSIGN_OR_RETURN(ActivationStore hidden,
                   ActivationStore::Create(
                       tokens, config.geometry.hidden,
                       GoToDisk(bytes, /*held_bytes=*/0, options) ? options.spill_folder : ""));
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
  if (walk->options_.compute != nullptr) {
    std::vector<float> x(length * config.geometry.hidden);
    RETURN_IF_ERROR(walk->hidden_.Read(0, length, x.data()));
    RETURN_IF_ERROR(CheckCompute(config, source, walk->RotationOf(0), length, x.data(),
                                 walk->compute_, context.threads));
  }
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

absl::StatusOr<ActivationStore> LayerWalk::NewStore(uint64_t rows, uint64_t width,
                                                    const ActivationStore* beside) const {
  uint64_t held_bytes = 0;
  for (const ActivationStore* store : {&hidden_, beside}) {
    if (store == nullptr || store->spilled()) continue;
    held_bytes += store->rows() * store->width() * sizeof(float);
  }
  return ActivationStore::Create(
      rows, width,
      GoToDisk(rows * width * sizeof(float), held_bytes, options_) ? options_.spill_folder : "");
}

absl::Status LayerWalk::ForEachBatch(std::span<const uint32_t> rows, const Step& step,
                                     const After& after) {
  const size_t slots = compute_.slots();
  const size_t pieces = (rows.size() + window_length_ - 1) / window_length_;
  std::vector<absl::Status> statuses(slots);
  for (size_t first = 0; first < pieces; first += slots) {
    RETURN_IF_ERROR(context_.CheckStopped());
    const size_t count = std::min(slots, pieces - first);
    context_.threads.ParallelFor(count, [&](size_t slot) {
      const size_t begin = (first + slot) * window_length_;
      statuses[slot] =
          step(rows.subspan(begin, std::min(window_length_, rows.size() - begin)), slot);
    });
    RETURN_IF_ERROR(FirstFailure(statuses));
    RETURN_IF_ERROR(after(count));
  }
  return absl::OkStatus();
}

absl::Status LayerWalk::ForEachBatch(std::span<const uint32_t> rows, const Step& step) {
  return ForEachBatch(rows, step, [](size_t) { return absl::OkStatus(); });
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
  const Half half = {
      .layer = layer,
      .expert = 0,
      .input_site = Site::kAttentionInput,
      .inner_site = Site::kAttentionOutput,
      .linears = Pointers(weights.qkv),
      .projection = weights.output,
      .inner_width = config_.query_size(),
      .input_norm = weights.input_norm,
      .output_norm = weights.output_norm,
      .rows = all_rows_,
      .seen = all_rows_,
      .set_inner = [&] { return compute_.SetAttention(weights, layer, RotationOf(layer)); },
      .observe =
          [&](const InputStatistics& input, const InputStatistics& inner) {
            return visitor.OnAttention(layer, input, inner, weights);
          }};
  return RunHalf(half, visitor);
}

// `mixed` collects the outputs of a mixture's experts; null: they are added to hidden_.
absl::Status LayerWalk::RunExpert(uint32_t layer, uint32_t expert, const ExpertRows& taken,
                                  LayerVisitor& visitor, FeedForwardWeights& shared,
                                  ExpertWeights& weights, ActivationStore* mixed) {
  const Norm none;  // that of a mixture is of the sum
  const Half half = {
      .layer = layer,
      .expert = expert,
      .input_site = Site::kFeedForwardInput,
      .inner_site = Site::kDownInput,
      .linears = Pointers(weights.gate_up),
      .projection = weights.down,
      .inner_width = shared.width,
      .input_norm = shared.input_norm,
      .output_norm = mixed != nullptr ? none : shared.output_norm,
      .rows = taken.rows,
      .seen = mixed != nullptr && options_.all_tokens_to_experts ? all_rows_ : taken.rows,
      .mixed = mixed,
      .shares = taken.weights,
      .set_inner = [&] { return compute_.SetExpert(weights); },
      .observe =
          [&](const InputStatistics& input, const InputStatistics& inner) {
            return visitor.OnExpert(layer, expert, input, inner, shared, weights);
          }};
  return RunHalf(half, visitor);
}

// docs/design/forward.md, "The walk", has the order of passes.
absl::Status LayerWalk::RunHalf(const Half& half, LayerVisitor& visitor) {
  const Step make_input = [&](std::span<const uint32_t> rows, size_t slot) {
    return MakeInput(rows, slot);
  };
  const Step make_inner = [&](std::span<const uint32_t> rows, size_t slot) -> absl::Status {
    RETURN_IF_ERROR(make_input(rows, slot));
    return compute_.MakeInner(slot);
  };
  const Step add_output = [&](std::span<const uint32_t> rows, size_t slot) -> absl::Status {
    std::vector<float> y(rows.size() * config_.geometry.hidden);
    RETURN_IF_ERROR(compute_.MakeOutput(slot, y.data()));
    return AddOutput(half, rows, y.data());
  };
  const Step run_through = [&](std::span<const uint32_t> rows, size_t slot) -> absl::Status {
    RETURN_IF_ERROR(make_inner(rows, slot));
    return add_output(rows, slot);
  };
  const After sum = [&](size_t used) { return compute_.AddToSums(used); };
  const auto visit_input = [&]() -> absl::Status {
    ASSIGN_OR_RETURN(const InputStatistics statistics, compute_.FinishInput());
    return visitor.OnInputs({half.layer, half.input_site, half.expert, statistics}, half.linears);
  };
  const auto visit_inner = [&]() -> absl::Status {
    ASSIGN_OR_RETURN(const InputStatistics statistics, compute_.FinishInner());
    Linear* const projection[] = {&half.projection};
    return visitor.OnInputs({half.layer, half.inner_site, half.expert, statistics}, projection);
  };
  const StatisticsKind input_kind = visitor.Wants(half.input_site);
  const StatisticsKind inner_kind = visitor.Wants(half.inner_site);

  if (visitor.ObservesBlocks()) {
    RETURN_IF_ERROR(compute_.SetInput(half.input_norm));
    RETURN_IF_ERROR(half.set_inner());
    RETURN_IF_ERROR(compute_.StartSums(StatisticsKind::kGram, StatisticsKind::kGram));
    RETURN_IF_ERROR(ForEachBatch(ObservedRows(half.seen), make_inner, sum));
    ASSIGN_OR_RETURN(const InputStatistics input, compute_.FinishInput());
    ASSIGN_OR_RETURN(const InputStatistics inner, compute_.FinishInner());
    RETURN_IF_ERROR(half.observe(input, inner));
  }
  RETURN_IF_ERROR(compute_.SetInput(half.input_norm));

  if (!visitor.ChangesWeights() && !half.sees_others()) {
    RETURN_IF_ERROR(half.set_inner());
    RETURN_IF_ERROR(compute_.SetOutput(half.projection, half.output_norm));
    RETURN_IF_ERROR(compute_.StartSums(input_kind, inner_kind));
    RETURN_IF_ERROR(ForEachBatch(half.rows, run_through, sum));
    RETURN_IF_ERROR(visit_input());
    return visit_inner();
  }

  RETURN_IF_ERROR(compute_.StartSums(input_kind, StatisticsKind::kNone));
  if (input_kind != StatisticsKind::kNone) {
    RETURN_IF_ERROR(ForEachBatch(half.seen, make_input, sum));
  }
  RETURN_IF_ERROR(visit_input());
  RETURN_IF_ERROR(half.set_inner());
  RETURN_IF_ERROR(compute_.StartSums(StatisticsKind::kNone, inner_kind));
  if (half.sees_others()) {
    RETURN_IF_ERROR(ForEachBatch(half.seen, make_inner, sum));
    RETURN_IF_ERROR(visit_inner());
    RETURN_IF_ERROR(compute_.SetOutput(half.projection, half.output_norm));
    return ForEachBatch(half.rows, run_through);
  }
  // What the changed weights make of the inputs waits for those of the projection.
  ASSIGN_OR_RETURN(ActivationStore between,
                   NewStore(half.rows.size(), half.inner_width, half.mixed));
  const Step keep = [&](std::span<const uint32_t> rows, size_t slot) -> absl::Status {
    RETURN_IF_ERROR(make_inner(rows, slot));
    std::vector<float> inner(rows.size() * half.inner_width);
    RETURN_IF_ERROR(compute_.ReadInner(slot, inner.data()));
    return between.Write(half.IndexOf(rows), rows.size(), inner.data());
  };
  const Step resume = [&](std::span<const uint32_t> rows, size_t slot) -> absl::Status {
    std::vector<float> inner(rows.size() * half.inner_width);
    RETURN_IF_ERROR(between.Read(half.IndexOf(rows), rows.size(), inner.data()));
    RETURN_IF_ERROR(compute_.WriteInner(slot, rows.size(), inner.data()));
    return add_output(rows, slot);
  };
  RETURN_IF_ERROR(ForEachBatch(half.rows, keep, sum));
  RETURN_IF_ERROR(visit_inner());
  RETURN_IF_ERROR(compute_.SetOutput(half.projection, half.output_norm));
  return ForEachBatch(half.rows, resume);
}

absl::Status LayerWalk::MakeInput(std::span<const uint32_t> rows, size_t slot) {
  std::vector<float> x(rows.size() * config_.geometry.hidden);
  RETURN_IF_ERROR(hidden_.Gather(rows, x.data()));
  return compute_.MakeInput(slot, rows.size(), x.data());
}

absl::Status LayerWalk::AddOutput(const Half& half, std::span<const uint32_t> rows,
                                  const float* y) {
  const size_t hidden = config_.geometry.hidden;
  std::vector<float> x(rows.size() * hidden);
  if (half.mixed != nullptr) {
    const float* share = half.shares.data() + half.IndexOf(rows);
    RETURN_IF_ERROR(half.mixed->Gather(rows, x.data()));
    for (size_t i = 0; i < x.size(); ++i) x[i] += share[i / hidden] * y[i];
    return half.mixed->Scatter(rows, x.data());
  }
  RETURN_IF_ERROR(hidden_.Gather(rows, x.data()));
  for (size_t i = 0; i < x.size(); ++i) x[i] += y[i];
  return hidden_.Scatter(rows, x.data());
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
  RETURN_IF_ERROR(ForEachBatch(all_rows_, route));
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
  RETURN_IF_ERROR(compute_.SetInput(shared.input_norm));
  RETURN_IF_ERROR(compute_.StartSums(StatisticsKind::kGram, StatisticsKind::kNone));
  RETURN_IF_ERROR(ForEachBatch(
      ObservedRows(all_rows_),
      [&](std::span<const uint32_t> rows, size_t slot) { return MakeInput(rows, slot); },
      [&](size_t used) { return compute_.AddToSums(used); }));
  return compute_.FinishInput();
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
  ASSIGN_OR_RETURN(ActivationStore mixed, NewStore(all_rows_.size(), hidden, nullptr));
  for (uint32_t expert = 0; expert < shared.experts; ++expert) {
    ASSIGN_OR_RETURN(ExpertWeights weights, load(expert));
    for (size_t i = 0; i < weights.gate_up.size() && !column_scales.empty(); ++i) {
      Matrix& weight = weights.gate_up[i].weight;
      weight = ScaleColumns(std::move(weight), column_scales);
    }
    RETURN_IF_ERROR(RunExpert(layer, expert, experts[expert], visitor, shared, weights, &mixed));
  }
  return ForEachBatch(all_rows_, [&](std::span<const uint32_t> rows, size_t) -> absl::Status {
    std::vector<float> x(rows.size() * hidden), y(rows.size() * hidden);
    RETURN_IF_ERROR(hidden_.Read(rows[0], rows.size(), x.data()));
    RETURN_IF_ERROR(mixed.Read(rows[0], rows.size(), y.data()));
    if (!shared.output_norm.factors.empty()) {
      ApplyNorm(config_, shared.output_norm, rows.size(), y.data(), y.data());
    }
    for (size_t i = 0; i < x.size(); ++i) x[i] += y[i];
    return hidden_.Write(rows[0], rows.size(), x.data());
  });
}

}  // namespace quantized
