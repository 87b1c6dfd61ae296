#include "core/pipeline/layer_output.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <iterator>
#include <utility>

#include "core/arch/tensor_names.h"
#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "kernels/codecs/codec.h"
#include "kernels/types/half.h"

namespace quantized {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMaxReportBytes = 64 << 20;
constexpr uint64_t kValuesAtOnce = 1 << 20;  // of a tensor that is copied

std::vector<std::byte> Halves(std::span<const float> values) {
  std::vector<std::byte> bytes(values.size() * sizeof(uint16_t));
  kernels::BestEncoder (*kernels::FindCodec(kernels::TypeId::kF16))(
      values.data(), /*importance=*/nullptr, /*rows=*/1, values.size(), bytes.data());
  return bytes;
}

// While a job runs, each finished layer's reports lie beside its weights, for a later attempt.
std::string ReportFile(uint64_t layer) { return StrCat(".layer-", layer, ".json"); }

}  // namespace

nlohmann::json ReportsToJson(std::span<const ModuleReport> reports) {
  nlohmann::json modules = nlohmann::json::array();
  for (const ModuleReport& report : reports) {
    modules.push_back(
        {{"module", report.module},
         {"tokens", report.tokens},
         {"relative_error",
          report.relative_error ? nlohmann::json(*report.relative_error) : nlohmann::json()},
         {"damping", report.damping},
         {"rounded", report.rounded},
         {"notes", report.notes}});
  }
  return modules;
}

bool ReportsFromJson(const nlohmann::json& modules, std::vector<ModuleReport>& reports) {
  if (!modules.is_array()) return false;
  for (const nlohmann::json& one : modules) {
    const bool sound = one.is_object() && one.contains("module") && one["module"].is_string() &&
                       one.contains("tokens") && one["tokens"].is_number_unsigned() &&
                       one.contains("relative_error") &&
                       (one["relative_error"].is_number() || one["relative_error"].is_null()) &&
                       one.contains("damping") && one["damping"].is_number() &&
                       one.contains("rounded") && one["rounded"].is_boolean() &&
                       one.contains("notes") && one["notes"].is_array();
    if (!sound) return false;
    ModuleReport report;
    report.module = one["module"];
    report.tokens = one["tokens"];
    if (one["relative_error"].is_number()) {
      report.relative_error = one["relative_error"].get<double>();
    }
    report.damping = one["damping"];
    report.rounded = one["rounded"];
    for (const nlohmann::json& note : one["notes"]) {
      if (!note.is_string()) return false;
      report.notes.push_back(note);
    }
    reports.push_back(std::move(report));
  }
  return true;
}

absl::Status LayerOutput::OnModule(uint32_t /*layer*/, const Linear& linear,
                                   const QuantizedLinear& quantized, ModuleReport report) {
  ASSIGN_OR_RETURN(const uint64_t size_bytes, output_.WriteLinear(linear.module, quantized));
  bytes_written_ += size_bytes;
  if (!linear.bias.empty()) {
    RETURN_IF_ERROR(WriteHalves(StrCat(linear.module, ".bias"), linear.bias));
  }
  layer_reports_.push_back(std::move(report));
  return absl::OkStatus();
}

absl::Status LayerOutput::OnTensor(uint32_t /*layer*/, const std::string& name,
                                   std::span<const float> values) {
  return WriteHalves(name, values);
}

absl::Status LayerOutput::OnLayerDone(uint32_t layer) {
  RETURN_IF_ERROR(output_.WriteFile(ReportFile(layer), ReportsToJson(layer_reports_).dump()));
  std::ranges::move(layer_reports_, std::back_inserter(reports_));
  layer_reports_.clear();
  RETURN_IF_ERROR(FinishUnit(layer + 1));
  progress_.OnProgress(layer + 1, plan_.units - 1, "layers", bytes_written_);
  return absl::OkStatus();
}

absl::Status LayerOutput::FinishUnit(size_t unit) {
  for (size_t i = 0; i < plan_.tensors.size(); ++i) {
    const safetensors::PlannedTensor& tensor = plan_.tensors[i];
    if (plan_.unit_of[i] != unit || tensor.dtype != DType::kF16 || written_.contains(tensor.name) ||
        tensor.name.ends_with(".scales")) {
      continue;
    }
    RETURN_IF_ERROR(Copy(tensor));
  }
  written_.clear();
  return output_.FinishUnit(unit);
}

absl::Status LayerOutput::TakeReports(uint64_t layers) {
  if (layers + 1 == plan_.units && TakeProvenance()) return absl::OkStatus();
  for (uint64_t layer = 0; layer < layers; ++layer) {
    const fs::path path = output_.part_path() / ReportFile(layer);
    const absl::StatusOr<std::string> text = ReadFile(path, kMaxReportBytes);
    if (!text.ok() || !ReportsFromJson(nlohmann::json::parse(*text, nullptr, false), reports_)) {
      return MakeError(
          Error::kCheckpoint,
          text.ok() ? StrCat(path.string(), ": is damaged") : std::string(text.status().message()),
          "Remove the checkpoint folder to start anew");
    }
  }
  return absl::OkStatus();
}

absl::Status LayerOutput::RemoveReportFiles(uint64_t layers) const {
  for (uint64_t layer = 0; layer < layers; ++layer) {
    RETURN_IF_ERROR(RemoveAll(output_.part_path() / ReportFile(layer)));
  }
  return absl::OkStatus();
}

bool LayerOutput::TakeProvenance() {
  const auto text = ReadFile(output_.part_path() / kProvenanceFile, kMaxReportBytes);
  const auto json = text.ok() ? nlohmann::json::parse(*text, nullptr, false) : nlohmann::json();
  std::vector<ModuleReport> found;
  if (!json.is_object() || json.value("fingerprint", nlohmann::json()) != plan_.fingerprint ||
      !ReportsFromJson(json.value("modules", nlohmann::json()), found)) {
    return false;
  }
  reports_ = std::move(found);
  return true;
}

// Scales that moved between matrices may have left what float16 cannot hold.
absl::Status LayerOutput::WriteHalves(const std::string& name, std::span<const float> values) {
  for (const float value : values) {
    if (std::isfinite(kernels::F16ToF32(kernels::F32ToF16(value)))) continue;
    return MakeError(Error::kValidationFailed,
                     StrCat("tensor ", name, ": found ", value,
                            ", expected values that float16 can hold (up to 65504)"));
  }
  written_.insert(name);
  bytes_written_ += values.size() * sizeof(uint16_t);
  return output_.Write(name, Halves(values));
}

// In the source's own name, some rows at a time; HalfTensorSource refuses what float16 cannot hold.
absl::Status LayerOutput::Copy(const safetensors::PlannedTensor& planned) {
  const TensorSource::Tensor* tensor = half_.Find(PlainName(architecture_, planned.name));
  uint64_t rows = 1;
  for (size_t i = 0; i + 1 < planned.shape.size(); ++i) rows *= planned.shape[i];
  const uint64_t cols = planned.shape.empty() ? 1 : planned.shape.back();
  const uint64_t rows_at_once = std::max<uint64_t>(1, kValuesAtOnce / std::max<uint64_t>(1, cols));
  std::vector<float> values;
  for (uint64_t first = 0; first < rows; first += rows_at_once) {
    const uint64_t count = std::min(rows_at_once, rows - first);
    values.resize(count * cols);
    RETURN_IF_ERROR(half_.ReadRows(*tensor, first, count, values.data()));
    const std::vector<std::byte> halves = Halves(values);
    RETURN_IF_ERROR(output_.WritePiece(planned.name, first * cols * sizeof(uint16_t), halves));
    bytes_written_ += halves.size();
  }
  return absl::OkStatus();
}

}  // namespace quantized
