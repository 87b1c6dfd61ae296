#include "core/pipeline/measure_importance.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "absl/strings/str_join.h"
#include "core/arch/architecture.h"
#include "core/base/error.h"
#include "core/base/sha256.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/base/version.h"
#include "core/forward/layer_walk.h"
#include "core/pipeline/calibrated_model.h"
#include "core/pipeline/importance_cache.h"
#include "core/pipeline/layer_probe.h"
#include "core/pipeline/room.h"
#include "core/pipeline/walk_snapshot.h"

namespace quantized {
namespace {

namespace fs = std::filesystem;

// Sums what each linear of a layer sees, under the name of its GGUF tensor. The experts of a
// mixture come one after the other, and so do their columns.
class ImportanceCollector : public LayerVisitor {
 public:
  explicit ImportanceCollector(ImportanceFile& file) : file_(file) {}

  StatisticsKind Wants(Site /*site*/) const override { return StatisticsKind::kSquares; }

  absl::Status OnInputs(const SiteInputs& inputs, std::span<Linear* const> linears) override {
    const InputStatistics& statistics = inputs.statistics;
    const auto tokens = static_cast<double>(statistics.tokens);
    std::vector<float> sums;
    for (const double mean : statistics.squares) sums.push_back(static_cast<float>(mean * tokens));
    const bool finite = std::ranges::all_of(sums, [](float sum) { return std::isfinite(sum); });
    for (const Linear* linear : linears) {
      if (!finite) {
        return MakeError(Error::kValidationFailed,
                         StrCat(linear->module,
                                ": its inputs on the calibration text are not "
                                "finite numbers"),
                         "Check that the model's weights are sound");
      }
      ImportanceEntry& entry = file_.entries[linear->gguf_name];
      entry.sums.insert(entry.sums.end(), sums.begin(), sums.end());
      entry.counts.push_back(static_cast<float>(statistics.tokens));
    }
    return absl::OkStatus();
  }

 private:
  ImportanceFile& file_;
};

// Of each mixture, the experts that saw no token, or too few to go by.
std::vector<std::string> NotesOnExperts(const ImportanceFile& file) {
  constexpr float kFewTokens = 32;
  std::vector<std::string> notes;
  for (const auto& [name, entry] : file.entries) {
    if (entry.counts.size() < 2 || name.find("ffn_down_exps") == std::string::npos) continue;
    std::vector<size_t> unseen;
    std::vector<std::string> barely_seen;
    for (size_t expert = 0; expert < entry.counts.size(); ++expert) {
      const float tokens = entry.counts[expert];
      if (tokens == 0) {
        unseen.push_back(expert);
      } else if (tokens < kFewTokens) {
        barely_seen.push_back(StrCat(expert, " (", tokens, ")"));
      }
    }
    const std::string of_all = StrCat(" of ", entry.counts.size(), " saw ");
    if (!unseen.empty()) {
      notes.push_back(StrCat(name, ": experts ", absl::StrJoin(unseen, ", "), of_all,
                             "no token of the calibration text; their columns count alike"));
    }
    if (!barely_seen.empty()) {
      notes.push_back(StrCat(name, ": experts ", absl::StrJoin(barely_seen, ", "), of_all,
                             "few tokens of the calibration text (their number)"));
    }
  }
  return notes;
}

constexpr std::string_view kMeasuring = "measuring importance";

// `snapshot` may be empty: the walk is not saved.
DiskNeeds DiskOf(const CalibratedModel& model, const WalkSize& size, const WalkNeeds& walk,
                 const fs::path& spill_folder, const fs::path& snapshot) {
  DiskNeeds disk;
  disk.Add(spill_folder, walk.disk_bytes);
  if (!snapshot.empty()) {
    disk.Add(SavedWalkNeeds(snapshot, size.tokens(), model.config.geometry.hidden));
  }
  return disk;
}

// Everything that the sums depend on.
std::string KeyOf(const CalibratedModel& model, const CalibrationSet& calibration,
                  bool all_tokens_to_experts, const WalkDevice& device) {
  const nlohmann::json parts = {kVersion,
                                model.weights_fingerprint,
                                calibration.hash,
                                calibration.windows[0].size(),
                                all_tokens_to_experts,
                                device.kind()};
  return Sha256Hex(parts.dump());
}

class Measurement {
 public:
  Measurement(const QuantizeRequest& request, const CalibratedModel& model,
              const CalibrationSet& calibration, const WalkDevice& device, JobContext& context)
      : request_(request),
        model_(model),
        calibration_(calibration),
        device_(device),
        context_(context) {}

  absl::StatusOr<ImportanceFile> Run() {
    const std::string key =
        KeyOf(model_, calibration_, request_.calibration.all_tokens_to_experts, device_);
    ASSIGN_OR_RETURN(ImportanceCache cache,
                     ImportanceCache::Open(request_.cache_directory, key, context_));
    if (std::optional<ImportanceFile> known = cache.Find()) {
      context_.progress.OnMessage("Importance matrix: measured before, taken from the cache");
      // The text by the name that it has here: whoever measured it may have another for it.
      known->datasets = {calibration_.description};
      return *std::move(known);
    }
    const fs::path snapshot = request_.checkpoint.enabled ? cache.snapshot_path() : "";
    ASSIGN_OR_RETURN(ImportanceFile file, Walk(snapshot, cache.folder()));
    RETURN_IF_ERROR(cache.Keep(file));
    return file;
  }

 private:
  absl::StatusOr<ImportanceFile> Walk(const fs::path& snapshot, const fs::path& folder) {
    const uint32_t layers = model_.config.geometry.layers;
    const WalkOptions options = {
        .memory_budget_bytes = ActivationBudgetBytes(),
        .spill_folder = folder.empty() ? fs::temp_directory_path() : folder,
        .all_tokens_to_experts = request_.calibration.all_tokens_to_experts,
        .compute = device_.compute()};
    RETURN_IF_ERROR(CheckRoom(options, snapshot));
    context_.progress.OnMessage(StrCat("Measuring importance: ", calibration_.windows.size(),
                                       " samples of ", calibration_.windows[0].size(), " tokens, ",
                                       calibration_.description));
    ASSIGN_OR_RETURN(const auto walk,
                     LayerWalk::Start(model_.config, model_.hf_config, *model_.source,
                                      calibration_.windows, options, context_));
    ImportanceFile file;
    uint32_t layer = 0;
    if (!snapshot.empty()) {
      ASSIGN_OR_RETURN(const auto saved, LoadWalk(snapshot, layers, walk->hidden()));
      if (saved) {
        ASSIGN_OR_RETURN(file, ReadImportanceFile(MemoryBytes(
                                   snapshot.string(), std::as_bytes(std::span(saved->learned)))));
        layer = saved->layers_done;
      }
    }
    file.datasets = {calibration_.description};
    file.chunks = static_cast<uint32_t>(calibration_.windows.size());
    file.chunk_tokens = static_cast<uint32_t>(calibration_.windows[0].size());
    ImportanceCollector collector(file);
    context_.progress.OnProgress(layer, layers, "layers", 0);
    while (layer < layers) {
      RETURN_IF_ERROR(context_.CheckStopped());
      RETURN_IF_ERROR(walk->RunLayer(layer, *model_.source, collector)) << "layer " << layer;
      ++layer;
      context_.progress.OnProgress(layer, layers, "layers", 0);
      if (snapshot.empty() || layer == layers) continue;
      ASSIGN_OR_RETURN(std::string learned, ImportanceGguf(file));
      RETURN_IF_ERROR(SaveWalk(snapshot, {layer, std::move(learned)}, walk->hidden()));
    }
    return file;
  }

  absl::Status CheckRoom(const WalkOptions& options, const fs::path& snapshot) const {
    const WalkSize size =
        WalkSizeOf(calibration_, context_.threads.size(), /*changes_weights=*/false);
    const WalkNeeds needs = NeedsOf(model_.config, size, options);
    RETURN_IF_ERROR(CheckWalkMemory(model_.config, needs, kMeasuring));
    return DiskOf(model_, size, needs, options.spill_folder, snapshot).Check();
  }

  const QuantizeRequest& request_;
  const CalibratedModel& model_;
  const CalibrationSet& calibration_;
  const WalkDevice& device_;
  JobContext& context_;
};

}  // namespace

namespace {

// A directory, or a GGUF file of a known architecture with its tokenizer.
bool CanBeMeasured(const ModelSource& source) {
  if (source.is_conversion()) return true;
  const auto* name = source.metadata().Get<std::string>("general.architecture");
  return name != nullptr &&
         source.metadata().Get<gguf::Array>("tokenizer.ggml.tokens") != nullptr &&
         std::ranges::any_of(AllArchitectures(),
                             [&](const Architecture* row) { return row->gguf_name == *name; });
}

}  // namespace

bool MustMeasureImportance(const QuantizeRequest& request, const ModelSource& source,
                           std::span<const QuantizePlan> plans) {
  if (request.conversion.is_wanted) return false;
  if (request.gguf.measure_importance) return true;
  return request.gguf.imatrix_paths.empty() && CanBeMeasured(source) &&
         std::ranges::any_of(
             plans, [](const QuantizePlan& plan) { return !plan.missing_importance.ok(); });
}

absl::StatusOr<CalibratedModel> OpenMeasuredModel(const QuantizeRequest& request) {
  return OpenCalibratedModel(request.model_path, request.pre_tokenizer);
}

absl::StatusOr<ImportanceForecast> ForecastImportance(const QuantizeRequest& request,
                                                      const CalibratedModel& model,
                                                      size_t thread_count) {
  const CalibrationRequest& calibration = request.calibration;
  ImportanceForecast forecast;
  const WalkSize size = WalkSizeOf(calibration, thread_count, /*changes_weights=*/false);
  const WalkNeeds needs = NeedsOf(model.config, size,
                                  {.memory_budget_bytes = ActivationBudgetBytes(),
                                   .all_tokens_to_experts = calibration.all_tokens_to_experts});
  forecast.memory_bytes = WalkMemoryBytes(model.config, needs);
  forecast.room = CheckWalkMemory(model.config, needs, kMeasuring);
  const fs::path folder =
      request.cache_directory.empty() ? fs::temp_directory_path() : request.cache_directory;
  const bool is_saved = request.checkpoint.enabled && !request.cache_directory.empty();
  forecast.disk = DiskOf(model, size, needs, folder, is_saved ? folder / "new.walk" : fs::path());
  ThreadPool threads(thread_count);
  ImportanceFile file;
  ImportanceCollector collector(file);
  ASSIGN_OR_RETURN(forecast.walk, ForecastWalk(model, *model.source, calibration, collector,
                                               request.device, StatisticsKind::kSquares, threads));
  return forecast;
}

absl::StatusOr<MeasuredImportance> MeasureImportance(const QuantizeRequest& request,
                                                     const CalibratedModel& model,
                                                     WalkDevice& device, JobContext& context) {
  context.progress.OnPhase(Phase::kCalibrate);
  ASSIGN_OR_RETURN(
      const CalibrationSet calibration,
      LoadCalibrationSet(request.calibration, StatisticsKind::kSquares, model, context));
  RETURN_IF_ERROR(device.Open(model.config, calibration.windows[0].size(), StatisticsKind::kSquares,
                              context.progress));
  MeasuredImportance measured;
  ASSIGN_OR_RETURN(measured.file, Measurement(request, model, calibration, device, context).Run());
  measured.calibration = SummaryOf(calibration);
  measured.notes = NotesOnExperts(measured.file);
  return measured;
}

}  // namespace quantized
