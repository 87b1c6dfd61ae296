#include "core/pipeline/folded_scales.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "core/arch/architecture.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/pipeline/for_each.h"

namespace quantized {
namespace {

// Where AWQ moves scales (core/quantize/layer_quantizer.h; docs/design/awq.md, "Folding"), by the
// names of tensors in GGUF, which are the same in all architectures.
constexpr std::string_view kAttentionInputs[] = {"attn_q", "attn_k", "attn_v", "attn_qkv"};
constexpr std::string_view kFeedForwardInputs[] = {"ffn_gate", "ffn_up", "ffn_gate_inp",
                                                   "ffn_gate_exps", "ffn_up_exps"};
struct NormSite {
  std::string_view norm;
  std::span<const std::string_view> readers;
};
constexpr NormSite kNormSites[] = {{"attn_norm", kAttentionInputs},
                                   {"ffn_norm", kFeedForwardInputs}};
struct ProductSite {
  std::string_view from, to;  // rows of the first feed columns of the second
};
constexpr std::string_view kFusedAttention = "attn_qkv";
constexpr ProductSite kProductSites[] = {{"attn_v", "attn_output"},
                                         {kFusedAttention, "attn_output"},
                                         {"ffn_up", "ffn_down"},
                                         {"ffn_up_exps", "ffn_down_exps"}};

// Twice the rounding of bfloat16, and that of float16 below its normal range. A scale so near 1
// changes no figure that is shown.
constexpr double kRounding = 0x1p-7, kLeastRounding = 0x1p-24;

// Of the scales of a product, which are fitted, some come out other than 1 in any model: they are
// believed where the errors of both linears, multiplied, come below this share.
constexpr double kClearShare = 0.9;

// Likeness (the square of a cosine) from which on a row is a quantized form of the source's; 4 bits
// leave 0.98.
constexpr double kAlike = 0.5;

// Sums over pairs of values.
struct Moments {
  double found = 0, both = 0, wanted = 0;  // of squares, products, squares

  void Add(double in_model, double in_source) {
    found += in_model * in_model;
    both += in_model * in_source;
    wanted += in_source * in_source;
  }
  void Add(const Moments& other) {
    found += other.found;
    both += other.both;
    wanted += other.wanted;
  }
  // Of the squared differences, what was found multiplied by `factor`.
  double Error(double factor) const {
    return std::max(0.0, factor * factor * found - 2 * factor * both + wanted);
  }
  double Likeness() const {
    const double size = found * wanted;
    return size > 0 && std::isfinite(size) ? both * both / size : 0;
  }
};

// Logarithm of the share that is left of an error: below 0 where it has become less. `all`: the
// squares of what it is an error of, beside which rounding of sums and of 16 bits counts as none.
double LogShare(double before, double after, double all) {
  if (all <= 0) return 0;
  const double nothing = 1e-12 * all;
  return std::log((after + nothing) / (before + nothing));
}

// Places of pairs by what follows "blk.3.": "attn_q.weight".
using Layer = std::map<std::string, size_t, std::less<>>;

std::vector<Layer> LayersOf(const ModelPair& models) {
  constexpr std::string_view kPrefix = "blk.";
  std::map<std::string, Layer, std::less<>> layers;
  for (size_t i = 0; i < models.pairs().size(); ++i) {
    const std::string_view key = models.KeyOf(models.pairs()[i]);
    const size_t dot = key.find('.', kPrefix.size());
    if (!key.starts_with(kPrefix) || dot == std::string_view::npos) continue;
    layers[std::string(key.substr(0, dot))].emplace(key.substr(dot + 1), i);
  }
  std::vector<Layer> list;
  for (auto& [name, layer] : layers) list.push_back(std::move(layer));
  return list;
}

// A norm that is not the source's.
struct ScaledNorm {
  size_t place = 0;
  std::span<const std::string_view> readers;
  // What columns behind it were divided by; NaN where the source's is 0.
  std::vector<float> factors;
  bool is_known = true;  // where the source's is 0, the model's is
};

// What a checkpoint's norms lack of what they multiply by. They are rounded without it.
double NormOffset(const ModelPair& models) {
  for (const ComparedModel* model : {&models.model(), &models.source()}) {
    if (model->architecture() == nullptr) continue;
    for (const TensorRule& rule : model->architecture()->tensors) {
      if (rule.transform == Transform::kAddOne) return 1;
    }
  }
  return 0;
}

// Nothing where it is the source's, up to rounding.
absl::StatusOr<std::optional<ScaledNorm>> ReadNorm(const ModelPair& models, size_t place,
                                                   double offset) {
  ScaledNorm norm = {.place = place};
  bool differs = false;
  RETURN_IF_ERROR(models.ForEachRow(
      models.pairs()[place], [&](uint64_t, std::span<float> found, std::span<float> wanted) {
        for (size_t i = 0; i < found.size(); ++i) {
          const double value = wanted[i], difference = std::abs(found[i] - value);
          differs |= difference > kRounding * (std::abs(value) + offset) + kLeastRounding;
          norm.is_known &= wanted[i] != 0 || found[i] == 0;
          norm.factors.push_back(wanted[i] == 0 ? std::numeric_limits<float>::quiet_NaN()
                                                : found[i] / wanted[i]);
        }
      }));
  return differs ? std::optional(std::move(norm)) : std::nullopt;
}

// Undoes the scales of one layer.
class LayerScales {
 public:
  // `undone` has one for each pair; those of `layer` are changed.
  LayerScales(const ModelPair& models, const Layer& layer, std::span<UndoneScales> undone)
      : models_(models), layer_(layer), undone_(undone) {}

  absl::Status UndoNorm(const ScaledNorm& norm);
  absl::Status UndoProduct(const ProductSite& site);

 private:
  std::optional<size_t> PlaceOf(std::string_view role, std::string_view suffix = ".weight") const {
    const auto found = layer_.find(StrCat(role, suffix));
    return found == layer_.end() ? std::nullopt : std::optional(found->second);
  }
  const TensorPair& PairAt(size_t place) const { return models_.pairs()[place]; }
  static uint64_t MatrixRows(const TensorPair& pair) {
    return pair.dims.size() > 1 ? pair.dims[1] : 1;
  }

  absl::StatusOr<std::vector<Moments>> RowMoments(size_t place) const;
  absl::StatusOr<std::vector<Moments>> ColumnMoments(size_t place) const;
  void MarkUndone(size_t place, bool is_known = true);

  const ModelPair& models_;
  const Layer& layer_;
  const std::span<UndoneScales> undone_;
};

void LayerScales::MarkUndone(size_t place, bool is_known) {
  UndoneScales& scales = undone_[place];
  using State = UndoneScales::State;
  if (scales.state != State::kNotUndone) {
    scales.state = is_known ? State::kUndone : State::kNotUndone;
  }
  scales.matrix_rows = MatrixRows(PairAt(place));
}

// The scales are the norm's where they explain rows of what reads it. How large a row is does not
// count: its scale may have been moved to the next linear.
absl::Status LayerScales::UndoNorm(const ScaledNorm& norm) {
  double evidence = 0;
  std::vector<size_t> readers;
  for (const std::string_view role : norm.readers) {
    const std::optional<size_t> place = PlaceOf(role);
    if (!place || PairAt(*place).cols() != norm.factors.size()) continue;
    readers.push_back(*place);
    double before = 0, after = 0, all = 0;
    RETURN_IF_ERROR(models_.ForEachRow(
        PairAt(*place), [&](uint64_t, std::span<float> found, std::span<float> wanted) {
          Moments as_found, scaled;
          for (size_t i = 0; i < found.size(); ++i) {
            if (std::isnan(norm.factors[i])) continue;
            as_found.Add(found[i], wanted[i]);
            scaled.Add(found[i] * norm.factors[i], wanted[i]);
          }
          before += as_found.wanted * (1 - std::min(1.0, as_found.Likeness()));
          after += scaled.wanted * (1 - std::min(1.0, scaled.Likeness()));
          all += as_found.wanted;
        }));
    evidence += LogShare(before, after, all);
  }
  if (evidence >= 0) return absl::OkStatus();
  for (const size_t place : readers) {
    undone_[place].cols = norm.factors;
    MarkUndone(place, norm.is_known);
  }
  undone_[norm.place].state = UndoneScales::State::kFolded;
  return absl::OkStatus();
}

// Of each row, with what is undone of it so far.
absl::StatusOr<std::vector<Moments>> LayerScales::RowMoments(size_t place) const {
  std::vector<Moments> rows(PairAt(place).rows());
  RETURN_IF_ERROR(models_.ForEachRow(
      PairAt(place), [&](uint64_t row, std::span<float> found, std::span<float> wanted) {
        undone_[place].Undo(row, found, wanted);
        for (size_t i = 0; i < found.size(); ++i) rows[row].Add(found[i], wanted[i]);
      }));
  return rows;
}

// Of each column of each matrix.
absl::StatusOr<std::vector<Moments>> LayerScales::ColumnMoments(size_t place) const {
  const TensorPair& pair = PairAt(place);
  const uint64_t matrix_rows = MatrixRows(pair);
  std::vector<Moments> cols(pair.rows() / matrix_rows * pair.cols());
  RETURN_IF_ERROR(
      models_.ForEachRow(pair, [&](uint64_t row, std::span<float> found, std::span<float> wanted) {
        Moments* const of_matrix = cols.data() + row / matrix_rows * found.size();
        for (size_t i = 0; i < found.size(); ++i) of_matrix[i].Add(found[i], wanted[i]);
      }));
  return cols;
}

// By what a row was divided and the columns behind it multiplied: the least squares' ratio, of the
// row unless that is no row of the source's any more and the columns are.
double ScaleOf(const Moments& row, const Moments& cols) {
  const bool by_row = row.Likeness() >= std::min(kAlike, cols.Likeness());
  const Moments& one = by_row ? row : cols;
  if (one.both <= 0) return 1;
  const double scale = by_row ? one.wanted / one.both : one.both / one.wanted;
  return std::isnormal(static_cast<float>(scale)) ? scale : 1;
}

absl::Status LayerScales::UndoProduct(const ProductSite& site) {
  const std::optional<size_t> from = PlaceOf(site.from), to = PlaceOf(site.to);
  if (!from || !to) return absl::OkStatus();
  const uint64_t rows = MatrixRows(PairAt(*from)), cols = PairAt(*to).cols();
  const uint64_t matrices = PairAt(*from).rows() / rows;
  // The last rows feed: those of the values, and of up below gate.
  const uint64_t feeding =
      site.from == kFusedAttention ? (std::max(rows, cols) - cols) / 2 : std::min(rows, cols);
  if (feeding == 0 || cols % feeding != 0 ||
      PairAt(*to).rows() != matrices * MatrixRows(PairAt(*to))) {
    return absl::OkStatus();
  }
  // The query heads of a group share a value head: column h * head_dim + d takes row d of it.
  const uint64_t group = cols / feeding;
  const uint64_t head_dim = std::max(models_.model().head_dim(), models_.source().head_dim());
  if (group > 1 && (head_dim == 0 || feeding % head_dim != 0)) return absl::OkStatus();
  const auto row_of = [&](uint64_t col) {
    return rows - feeding + (group == 1 ? col : col / head_dim / group * head_dim + col % head_dim);
  };

  ASSIGN_OR_RETURN(const std::vector<Moments> of_rows, RowMoments(*from));
  ASSIGN_OR_RETURN(const std::vector<Moments> of_cols, ColumnMoments(*to));
  std::vector<Moments> behind(of_rows.size());  // each row's columns
  for (uint64_t i = 0; i < of_cols.size(); ++i) {
    behind[i / cols * rows + row_of(i % cols)].Add(of_cols[i]);
  }
  std::vector<float> scales(of_rows.size(), 1);
  struct Errors {
    double before = 0, after = 0, all = 0;
    void Add(const Moments& moments, double factor) {
      before += moments.Error(1);
      after += moments.Error(factor);
      all += moments.wanted;
    }
    double Share() const { return LogShare(before, after, all); }
  } row_errors, col_errors;
  for (uint64_t i = 0; i < of_rows.size(); ++i) {
    if (i % rows < rows - feeding) continue;
    scales[i] = static_cast<float>(ScaleOf(of_rows[i], behind[i]));
    row_errors.Add(of_rows[i], scales[i]);
    col_errors.Add(behind[i], 1 / double{scales[i]});
  }
  if (row_errors.Share() + col_errors.Share() >= std::log(kClearShare)) return absl::OkStatus();

  std::vector<float>& col_scales = undone_[*to].cols;
  col_scales.resize(of_cols.size());
  for (uint64_t i = 0; i < of_cols.size(); ++i) {
    col_scales[i] = 1 / scales[i / cols * rows + row_of(i % cols)];
  }
  MarkUndone(*to);
  const std::optional<size_t> bias = PlaceOf(site.from, ".bias");
  if (bias && PairAt(*bias).cols() == scales.size()) {
    undone_[*bias].cols = scales;
    MarkUndone(*bias);
  }
  undone_[*from].rows = std::move(scales);
  MarkUndone(*from);
  return absl::OkStatus();
}

absl::Status UndoLayer(const ModelPair& models, const Layer& layer,
                       std::span<const ScaledNorm> norms, std::span<UndoneScales> undone) {
  LayerScales scales(models, layer, undone);
  for (const ScaledNorm& norm : norms) RETURN_IF_ERROR(scales.UndoNorm(norm));
  for (const ProductSite& site : kProductSites) RETURN_IF_ERROR(scales.UndoProduct(site));
  return absl::OkStatus();
}

}  // namespace

void UndoneScales::Undo(uint64_t row, std::span<float> found, std::span<float> wanted) const {
  if (!rows.empty()) {
    for (float& value : found) value *= rows[row];
  }
  if (cols.empty()) return;
  const float* const factors =
      cols.data() + (cols.size() == found.size() ? 0 : row / matrix_rows * found.size());
  for (size_t i = 0; i < found.size(); ++i) {
    if (std::isnan(factors[i])) {
      found[i] = wanted[i] = 0;
    } else {
      found[i] *= factors[i];
    }
  }
}

absl::StatusOr<std::vector<UndoneScales>> FindFoldedScales(const ModelPair& models,
                                                           ThreadPool& threads) {
  const std::vector<Layer> layers = LayersOf(models);
  const double offset = NormOffset(models);
  std::vector<std::vector<ScaledNorm>> norms(layers.size());
  bool any_differs = false;
  for (size_t i = 0; i < layers.size(); ++i) {
    for (const NormSite& site : kNormSites) {
      const auto place = layers[i].find(StrCat(site.norm, ".weight"));
      if (place == layers[i].end()) continue;
      ASSIGN_OR_RETURN(std::optional<ScaledNorm> norm, ReadNorm(models, place->second, offset));
      if (!norm) continue;
      norm->readers = site.readers;
      norms[i].push_back(*std::move(norm));
      any_differs = true;
    }
  }
  // Scales that have changed no norm at all are not looked for: other models cost no second
  // reading.
  if (!any_differs) return std::vector<UndoneScales>();
  std::vector<UndoneScales> undone(models.pairs().size());
  RETURN_IF_ERROR(ForEach(layers.size(), threads, [&](size_t i) {
    return UndoLayer(models, layers[i], norms[i], undone);
  }));
  const bool has_none = std::ranges::all_of(undone, [](const UndoneScales& scales) {
    return scales.state == UndoneScales::State::kNone;
  });
  if (has_none) undone.clear();
  return undone;
}

absl::StatusOr<bool> AnyNormDiffers(const ModelPair& models) {
  for (size_t i = 0; i < models.pairs().size(); ++i) {
    const TensorPair& pair = models.pairs()[i];
    if (pair.dims.size() != 1 || !models.KeyOf(pair).ends_with(".weight")) continue;
    ASSIGN_OR_RETURN(const std::optional<ScaledNorm> norm, ReadNorm(models, i, /*offset=*/1));
    if (norm) return true;
  }
  return false;
}

}  // namespace quantized
