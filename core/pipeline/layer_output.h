// What a layer of an AWQ or GPTQ folder becomes, written where it belongs as soon as it is there,
// and the reports of its linears, kept beside the weights for a later attempt until the folder's
// provenance has them. Belongs to the job's thread.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "core/arch/architecture.h"
#include "core/base/job_context.h"
#include "core/forward/tensor_source.h"
#include "core/pipeline/directory_output.h"
#include "core/pipeline/directory_plan.h"
#include "core/quantize/layer_quantizer.h"

namespace quantized {

nlohmann::json ReportsToJson(std::span<const ModuleReport> reports);
// Appends; false where `modules` is not what ReportsToJson gives.
bool ReportsFromJson(const nlohmann::json& modules, std::vector<ModuleReport>& reports);

class LayerOutput : public QuantizedLayerSink {
 public:
  // `half` gives what stays in 16 bits. All arguments must outlive *this.
  LayerOutput(DirectoryOutput& output, const DirectoryPlan& plan, const Architecture& architecture,
              const TensorSource& half, ProgressSink& progress)
      : output_(output),
        plan_(plan),
        architecture_(architecture),
        half_(half),
        progress_(progress) {}

  absl::Status OnModule(uint32_t layer, const Linear& linear, const QuantizedLinear& quantized,
                        ModuleReport report) override;
  absl::Status OnTensor(uint32_t layer, const std::string& name,
                        std::span<const float> values) override;
  absl::Status OnLayerDone(uint32_t layer) override;

  // Copies what of the unit is not written yet, and notes it as finished.
  absl::Status FinishUnit(size_t unit);

  // Of the layers that an earlier attempt finished, what it said of them: in a file for each; of
  // all of them also in its provenance, which is there before these files go. Errors: kCheckpoint.
  absl::Status TakeReports(uint64_t layers);
  absl::Status RemoveReportFiles(uint64_t layers) const;

  // In the order of layers.
  const std::vector<ModuleReport>& reports() const { return reports_; }

 private:
  bool TakeProvenance();
  absl::Status WriteHalves(const std::string& name, std::span<const float> values);
  absl::Status Copy(const safetensors::PlannedTensor& planned);

  DirectoryOutput& output_;
  const DirectoryPlan& plan_;
  const Architecture& architecture_;
  const TensorSource& half_;
  ProgressSink& progress_;
  std::set<std::string> written_;  // of the unit, in 16 bits
  std::vector<ModuleReport> layer_reports_, reports_;
  uint64_t bytes_written_ = 0;
};

}  // namespace quantized
