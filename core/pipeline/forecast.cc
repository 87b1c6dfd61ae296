#include "core/pipeline/forecast.h"

#include <algorithm>
#include <memory>
#include <system_error>
#include <utility>

#include "core/base/file.h"
#include "core/base/machine.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/pipeline/output_folder.h"
#include "core/pipeline/plan.h"
#include "core/pipeline/room.h"
#include "core/quantize/levels.h"

namespace quantized {
namespace {

namespace fs = std::filesystem;

absl::StatusOr<OutputForecast> ForecastOutput(const QuantizeRequest& request,
                                              const OutputRequest& output,
                                              QuantizeForecast& forecast) {
  ASSIGN_OR_RETURN(const Recipe* recipe, FindRecipe(output.level));
  SourceOptions options;
  if (recipe->is_float()) options.conversion_type = recipe->default_type;
  options.pre_tokenizer = request.pre_tokenizer;
  ASSIGN_OR_RETURN(const std::unique_ptr<ModelSource> source,
                   OpenModelSource(request.model_path, options));
  forecast.model = source->summary();
  const fs::path path = fs::absolute(output.path).lexically_normal();
  ASSIGN_OR_RETURN(QuantizePlan plan, MakePlan(*source, *recipe, path));

  forecast.memory_needed_bytes =
      std::max(forecast.memory_needed_bytes, PlannedMemoryBytes(plan, forecast.threads));
  forecast.disk_needed_bytes += plan.file_size_bytes;
  std::error_code ignored;
  if (fs::exists(path, ignored) && !request.overwrite) {
    forecast.warnings.push_back(StrCat("the output ", path.string(), " exists already"));
  }
  if (const absl::Status memory = CheckMemory(plan, forecast.threads); !memory.ok()) {
    forecast.warnings.push_back(std::string(memory.message()));
  }
  return OutputForecast{.level = std::string(recipe->name),
                        .files = {path},
                        .size_bytes = plan.file_size_bytes,
                        .bits_per_weight = plan.bits_per_weight,
                        .substitutions = std::move(plan.substitutions)};
}

}  // namespace

absl::StatusOr<QuantizeForecast> ForecastQuantize(const QuantizeRequest& request, size_t threads) {
  QuantizeForecast forecast;
  forecast.threads = threads;
  forecast.memory_available_bytes = AvailableMemoryBytes();
  for (const OutputRequest& output : request.outputs) {
    ASSIGN_OR_RETURN(OutputForecast one, ForecastOutput(request, output, forecast));
    forecast.outputs.push_back(std::move(one));
  }
  if (request.outputs.empty()) return forecast;
  const fs::path folder =
      OutputFolder(fs::absolute(request.outputs.front().path).parent_path()).Existing();
  ASSIGN_OR_RETURN(forecast.disk_free_bytes, FreeDiskBytes(folder));
  if (forecast.disk_needed_bytes > forecast.disk_free_bytes) {
    forecast.warnings.push_back(StrCat("the outputs need ", forecast.disk_needed_bytes,
                                       " bytes of disk in ", folder.string(), ", ",
                                       forecast.disk_free_bytes, " bytes are free"));
  }
  return forecast;
}

}  // namespace quantized
