#include "core/report/module_errors.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "core/arch/tensor_names.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/tensor/shape.h"

namespace quantized {
namespace {

constexpr uint64_t kPieceValues = 4 << 20;

constexpr std::string_view kLayerPrefix = "blk.{i}.";

struct Measured {
  const TensorSource::Tensor* source;
  const TensorSource::Tensor* quantized;
  ModuleError error;
};

// Rows [first, first + count) of one of the modules measured together.
struct Piece {
  size_t module;
  uint64_t first, count;
};

struct Sums {
  double error = 0, norm = 0;  // of squares
};

// Of `size` values. Sums of eight interleaved parts, which a processor adds side by side.
Sums SumSquares(const float* want, const float* got, size_t size) {
  constexpr size_t kParts = 8;
  std::array<double, kParts> error = {}, norm = {};
  const auto add = [&](size_t part, size_t i) {
    const double w = want[i], off = w - got[i];
    error[part] += off * off;
    norm[part] += w * w;
  };
  size_t i = 0;
  for (; i + kParts <= size; i += kParts) {
    for (size_t part = 0; part < kParts; ++part) add(part, i + part);
  }
  for (; i < size; ++i) add(i % kParts, i);
  Sums sums;
  for (size_t part = 0; part < kParts; ++part) {
    sums.error += error[part];
    sums.norm += norm[part];
  }
  return sums;
}

class Measurement {
 public:
  Measurement(const ForwardConfig& config, const TensorSource& source,
              const TensorSource& quantized, JobContext& context)
      : config_(config), source_(source), quantized_(quantized), context_(context) {}

  // The modules of a layer, or those outside layers.
  absl::Status Measure(std::optional<uint32_t> layer) {
    std::vector<Measured> modules;
    for (const TensorRule& rule : config_.architecture->tensors) {
      const bool is_matrix = rule.rows != Dim::kNone && !rule.gguf.empty();
      if (!is_matrix || rule.gguf.starts_with(kLayerPrefix) != layer.has_value()) continue;
      const uint32_t experts = IsStacked(rule) ? config_.geometry.experts : 1;
      for (uint32_t expert = 0; expert < experts; ++expert) {
        RETURN_IF_ERROR(Add(rule, layer, expert, modules));
      }
    }
    RETURN_IF_ERROR(SumAll(modules));
    for (Measured& module : modules) errors_.push_back(std::move(module.error));
    return absl::OkStatus();
  }

  std::vector<ModuleError> TakeErrors() && { return std::move(errors_); }

 private:
  absl::Status Add(const TensorRule& rule, std::optional<uint32_t> layer, uint32_t expert,
                   std::vector<Measured>& modules) const {
    const std::string name = StrCat(PlainModule(rule, layer.value_or(0), expert), ".weight");
    const TensorSource::Tensor* want = source_.Find(name);
    const TensorSource::Tensor* got = quantized_.Find(name);
    if (rule.optional && (want == nullptr || got == nullptr)) return absl::OkStatus();
    if (want == nullptr || got == nullptr) {
      return MakeError(Error::kValidationFailed,
                       StrCat("tensor ", name, ": found only in the ",
                              want == nullptr ? "quantized model" : "source", ", expected in both"),
                       "Check that the quantized model was made of this source");
    }
    std::vector<uint64_t> expected = want->shape;
    const bool cut = rule.transform == Transform::kCutToVocabulary;
    if (cut && got->shape.size() == expected.size()) expected[0] = got->shape[0];
    if (got->shape != expected || expected.size() != 2) {
      return MakeError(Error::kValidationFailed,
                       StrCat("tensor ", name, ": found shape ", ShapeText(got->shape),
                              ", expected shape ", ShapeText(want->shape), " from the source"),
                       "Check that the quantized model was made of this source");
    }
    ModuleError error;
    error.module = want->name.substr(0, want->name.rfind('.'));
    error.layer = layer;
    error.kind = rule.gguf.substr(layer ? kLayerPrefix.size() : 0);
    error.type = got->type;
    error.rows = std::min(want->shape[0], got->shape[0]);
    error.cols = want->shape[1];
    modules.push_back({want, got, std::move(error)});
    return absl::OkStatus();
  }

  absl::Status SumAll(std::vector<Measured>& modules) const {
    std::vector<Piece> pieces;
    for (size_t i = 0; i < modules.size(); ++i) {
      const ModuleError& module = modules[i].error;
      const uint64_t at_once = std::max<uint64_t>(1, kPieceValues / module.cols);
      for (uint64_t first = 0; first < module.rows; first += at_once) {
        pieces.push_back({i, first, std::min(at_once, module.rows - first)});
      }
    }
    std::vector<Sums> sums(pieces.size());
    std::vector<absl::Status> statuses(pieces.size());
    context_.threads.ParallelFor(pieces.size(), [&](size_t i) {
      statuses[i] = SumPiece(modules[pieces[i].module], pieces[i], sums[i]);
    });
    std::vector<Sums> totals(modules.size());
    for (size_t i = 0; i < pieces.size(); ++i) {
      RETURN_IF_ERROR(statuses[i]);
      totals[pieces[i].module].error += sums[i].error;
      totals[pieces[i].module].norm += sums[i].norm;
    }
    for (size_t i = 0; i < modules.size(); ++i) {
      const auto& [error, norm] = totals[i];
      if (!std::isfinite(error) || !std::isfinite(norm)) {
        return MakeError(Error::kValidationFailed, StrCat("tensor ", modules[i].source->name,
                                                          ": holds values that are not finite"));
      }
      // Of a matrix of zeros only zeros are no error.
      if (norm > 0 || error == 0) modules[i].error.weight_error = error == 0 ? 0 : error / norm;
    }
    return absl::OkStatus();
  }

  absl::Status SumPiece(const Measured& module, const Piece& piece, Sums& sums) const {
    RETURN_IF_ERROR(context_.CheckStopped());
    const size_t size = piece.count * module.error.cols;
    std::vector<float> want(size), got(size);
    RETURN_IF_ERROR(source_.ReadRows(*module.source, piece.first, piece.count, want.data()));
    RETURN_IF_ERROR(quantized_.ReadRows(*module.quantized, piece.first, piece.count, got.data()));
    sums = SumSquares(want.data(), got.data(), size);
    return absl::OkStatus();
  }

  const ForwardConfig& config_;
  const TensorSource& source_;
  const TensorSource& quantized_;
  JobContext& context_;
  std::vector<ModuleError> errors_;
};

}  // namespace

absl::StatusOr<std::vector<ModuleError>> MeasureTensorErrors(const ForwardConfig& config,
                                                             const TensorSource& source,
                                                             const TensorSource& quantized,
                                                             JobContext& context) {
  Measurement measurement(config, source, quantized, context);
  RETURN_IF_ERROR(measurement.Measure(std::nullopt));
  const uint32_t layers = config.geometry.layers;
  for (uint32_t layer = 0; layer < layers; ++layer) {
    RETURN_IF_ERROR(measurement.Measure(layer));
    context.progress.OnProgress(layer + 1, layers, "layers", /*bytes_written=*/0);
  }
  return std::move(measurement).TakeErrors();
}

}  // namespace quantized
