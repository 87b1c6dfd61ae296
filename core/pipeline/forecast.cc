#include "core/pipeline/forecast.h"

#include <algorithm>
#include <map>
#include <utility>

#include "core/base/file.h"
#include "core/base/machine.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/pipeline/measure_importance.h"
#include "core/pipeline/output_guard.h"
#include "core/pipeline/plan.h"
#include "core/pipeline/room.h"
#include "core/pipeline/sources.h"

namespace quantized {
namespace {

namespace fs = std::filesystem;

OutputForecast ForecastOf(const QuantizePlan& plan) {
  OutputForecast output;
  output.level = plan.recipe->name;
  for (const OutputFile& file : plan.files) output.files.push_back(file.path);
  output.size_bytes = plan.SizeBytes();
  output.bits_per_weight = plan.bits_per_weight;
  output.substitutions = plan.substitutions;
  return output;
}

void WarnOfExistingFiles(const QuantizePlan& plan, QuantizeForecast& forecast) {
  for (const OutputFile& file : plan.files) {
    if (!Exists(file.path)) continue;
    forecast.warnings.push_back(StrCat("the output ", file.path.string(), " exists already"));
    return;
  }
}

void WarnOf(const absl::Status& status, QuantizeForecast& forecast) {
  if (!status.ok()) forecast.warnings.push_back(std::string(status.message()));
}

}  // namespace

OutputForecast ForecastOf(const DirectoryPlan& plan) {
  OutputForecast output;
  output.level = plan.level.name;
  output.bits_per_weight = plan.bits_per_weight();
  for (const safetensors::PlannedFile& file : plan.layout.files) {
    output.files.push_back(plan.output_path / file.name);
    output.size_bytes += file.size_bytes;
  }
  return output;
}

void WarnOf(const DirectoryPlan& plan, QuantizeForecast& forecast) {
  if (Exists(plan.output_path)) {
    forecast.warnings.push_back(
        StrCat("the output ", plan.output_path.string(), " exists already"));
  }
  for (const LoaderNote& note : LoaderNotes(plan.packed, plan.linears, 1)) {
    if (note.verdict == Verdict::kLoads) continue;
    forecast.warnings.push_back(
        StrCat(plan.level.name, ": ", note.loader, " ", NameOf(note.verdict), ": ", note.why));
  }
}

ConversionForecast ForecastOf(const Conversion& conversion) {
  return {.from = conversion.from,
          .fidelity = std::string(NameOf(conversion.fidelity)),
          .why = conversion.why};
}

absl::StatusOr<QuantizeForecast> ForecastQuantize(const QuantizeRequest& request, size_t threads) {
  ASSIGN_OR_RETURN(const std::vector<const Recipe*> recipes, RecipesOf(request));
  ASSIGN_OR_RETURN(PlanOptions options, PlanOptions::Parse(request.gguf));
  ModelSources sources;
  RETURN_IF_ERROR(sources.Open(request, recipes));

  QuantizeForecast forecast;
  forecast.threads = threads;
  forecast.model = sources.Of(*recipes[0]).summary();
  const auto make_plans = [&]() -> absl::StatusOr<std::vector<QuantizePlan>> {
    std::vector<QuantizePlan> plans;
    for (size_t i = 0; i < recipes.size(); ++i) {
      const fs::path path = fs::absolute(request.outputs[i].path).lexically_normal();
      ASSIGN_OR_RETURN(QuantizePlan plan,
                       MakePlan(sources.Of(*recipes[i]), *recipes[i], path, options));
      plans.push_back(std::move(plan));
    }
    return plans;
  };
  ASSIGN_OR_RETURN(std::vector<QuantizePlan> plans, make_plans());
  DiskNeeds disk, passing_disk;
  forecast.measures_importance = MustMeasureImportance(request, sources.Of(*recipes[0]), plans);
  if (forecast.measures_importance) {
    ASSIGN_OR_RETURN(const CalibratedModel model, OpenMeasuredModel(request));
    ASSIGN_OR_RETURN(const ImportanceForecast importance,
                     ForecastImportance(request, model, threads));
    forecast.memory_needed_bytes = importance.memory_bytes;
    WarnOf(importance.room, forecast);
    passing_disk = importance.disk;
    forecast.walk = importance.walk;
    options.selection.has_importance = true;
    ASSIGN_OR_RETURN(plans, make_plans());
  }
  std::map<const ModelSource*, std::vector<const QuantizePlan*>> passes;
  for (size_t i = 0; i < recipes.size(); ++i) {
    const QuantizePlan& plan = plans[i];
    forecast.outputs.push_back(ForecastOf(plan));
    disk.Add(plan.files.front().path.parent_path(), plan.SizeBytes());
    if (!forecast.measures_importance) WarnOf(plan.missing_importance, forecast);
    if (!request.overwrite) WarnOfExistingFiles(plan, forecast);
    passes[&sources.Of(*recipes[i])].push_back(&plan);
  }
  WarnOf(CheckOutputFiles(request, plans), forecast);

  forecast.memory_available_bytes = AvailableMemoryBytes();
  for (const auto& [source, pass] : passes) {
    const uint64_t needed_bytes = PlannedMemoryBytes(pass, threads);
    forecast.memory_needed_bytes = std::max(forecast.memory_needed_bytes, needed_bytes);
    WarnOf(CheckThreadsMemory(needed_bytes, "quantizing", threads), forecast);
  }
  const fs::path folder = DeepestExisting(fs::absolute(request.outputs.front().path).parent_path());
  disk.AddInTurn(passing_disk);
  forecast.disk_needed_bytes = disk.BytesAt(folder);
  ASSIGN_OR_RETURN(forecast.disk_free_bytes, FreeDiskBytes(folder));
  WarnOf(disk.Check(), forecast);
  return forecast;
}

}  // namespace quantized
