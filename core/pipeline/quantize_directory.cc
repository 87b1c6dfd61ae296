#include "core/pipeline/quantize_directory.h"

#include <algorithm>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_format.h"
#include "core/base/error.h"
#include "core/base/machine.h"
#include "core/base/sha256.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/base/version.h"
#include "core/calibrate/calibration_set.h"
#include "core/forward/forward_config.h"
#include "core/forward/half_tensor_source.h"
#include "core/forward/layer_walk.h"
#include "core/forward/packed_tensor_source.h"
#include "core/packed/companion_files.h"
#include "core/packed/model_card.h"
#include "core/pipeline/calibrated_model.h"
#include "core/pipeline/directory_output.h"
#include "core/pipeline/directory_plan.h"
#include "core/pipeline/layer_output.h"
#include "core/pipeline/layer_probe.h"
#include "core/pipeline/quality.h"
#include "core/pipeline/room.h"
#include "core/pipeline/walk_device.h"
#include "core/pipeline/walk_snapshot.h"
#include "core/quantize/layer_quantizer.h"
#include "core/tensor/text.h"

namespace quantized {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMaxCardBytes = 16 << 20;

PackedMethod MethodOf(const std::string& format) {
  return format == NameOf(PackedMethod::kAwq) ? PackedMethod::kAwq : PackedMethod::kGptq;
}

// What is the same for all levels of a job.
struct Model : CalibratedModel {
  std::string fingerprint;  // of weights, configuration and companion files
  std::vector<std::string> companions;
};

absl::StatusOr<Model> OpenModel(const fs::path& path) {
  ASSIGN_OR_RETURN(CalibratedModel opened, OpenCalibratedModel(path));
  if (opened.is_quantized) {
    return MakeError(
        Error::kNotImplemented,
        StrCat(path.string(), ": the weights are quantized already (", opened.summary.dtype, ")"),
        "Use convert, or the original model");
  }
  Model model{std::move(opened), /*fingerprint=*/"", /*companions=*/{}};
  ASSIGN_OR_RETURN(model.companions, CompanionFiles(model.path));
  Sha256 hash;
  hash.Update(model.weights_fingerprint);
  RETURN_IF_ERROR(HashFiles(model.path, model.companions, hash));
  model.fingerprint = hash.HexDigest();
  return model;
}

absl::StatusOr<DirectoryPlan> PlanOf(const QuantizeRequest& request, const OutputRequest& output,
                                     const Model& model) {
  return MakeDirectoryPlan(model.config, model.hf_config, model.tensors, MethodOf(request.format),
                           output.level, request.calibrated,
                           fs::absolute(output.path).lexically_normal());
}

// What a layer takes while it is quantized: its weights as floats, the Gram matrix of its widest
// inputs with what GPTQ makes of it, and the activations.
uint64_t NeededMemoryBytes(const ForwardConfig& config, const DirectoryPlan& plan, uint64_t tokens,
                           const WalkOptions& walk) {
  constexpr uint64_t kProgramBytes = 96 << 20;
  constexpr uint64_t kLargestLinears = 8;  // of a layer, and copies while one is worked on
  constexpr uint64_t kGrams = 4;           // as summed, damped, factorized, in double
  uint64_t widest = 0, largest = 0;
  for (const LinearShape& linear : plan.linears) {
    widest = std::max<uint64_t>(widest, linear.in);
    largest = std::max<uint64_t>(largest, uint64_t{linear.out} * linear.in);
  }
  return kProgramBytes + (kLargestLinears * largest + kGrams * widest * widest) * sizeof(float) +
         LayerWalk::MemoryBytes(config, tokens, walk);
}

absl::Status CheckMemoryFor(const QuantizeRequest& request, uint64_t needed_bytes) {
  return CheckMemory(needed_bytes, StrCat("quantizing ", request.model_name),
                     "Free memory, or use fewer --calibration-samples");
}

AwqOptions AwqOptionsOf(const DirectoryPlan& plan) {
  AwqOptions options;
  options.group_size = plan.group_size();
  return options;
}

GptqOptions GptqOptionsOf(const QuantizeRequest& request, const DirectoryPlan& plan) {
  GptqOptions options;
  options.bits = plan.level.bits;
  options.group_size = plan.group_size();
  options.symmetric = plan.packed.sym;
  options.order = request.calibrated.order;
  options.damping = request.calibrated.damping;
  options.avoid_zero_point_zero = true;
  return options;
}

std::unique_ptr<LayerVisitor> MakeQuantizer(const QuantizeRequest& request, const Model& model,
                                            const DirectoryPlan& plan, QuantizedLayerSink& sink,
                                            ThreadPool& threads) {
  if (plan.method == PackedMethod::kAwq) {
    return std::make_unique<AwqQuantizer>(model.config, AwqOptionsOf(plan), sink, threads);
  }
  return std::make_unique<GptqQuantizer>(GptqOptionsOf(request, plan), sink, threads);
}

// All settings that decide about codes, so that a job goes on with its own only.
std::string SettingsOf(const QuantizeRequest& request, const DirectoryPlan& plan) {
  return plan.method == PackedMethod::kAwq ? Describe(AwqOptionsOf(plan))
                                           : Describe(GptqOptionsOf(request, plan));
}

// Takes a layer and keeps nothing.
class NoSink : public QuantizedLayerSink {
 public:
  absl::Status OnModule(uint32_t /*layer*/, const Linear& /*linear*/,
                        const QuantizedLinear& /*quantized*/, ModuleReport /*report*/) override {
    return absl::OkStatus();
  }
  absl::Status OnTensor(uint32_t /*layer*/, const std::string& /*name*/,
                        std::span<const float> /*values*/) override {
    return absl::OkStatus();
  }
  absl::Status OnLayerDone(uint32_t /*layer*/) override { return absl::OkStatus(); }
};

// Of one level, as the first layer goes now.
absl::StatusOr<WalkForecast> ForecastWalkOf(const QuantizeRequest& request, const Model& model,
                                            const DirectoryPlan& plan, size_t thread_count) {
  ThreadPool threads(thread_count);
  NoSink sink;
  const HalfTensorSource half(*model.source);
  const auto quantizer = MakeQuantizer(request, model, plan, sink, threads);
  return ForecastWalk(model, half, request.calibration, *quantizer, request.device,
                      StatisticsKind::kGram, threads);
}

std::vector<CardFacts::Measure> MeasuresOf(const QualitySummary& quality) {
  const auto text = [](double value) { return absl::StrFormat("%.4g", value); };
  return {{"Text", StrCat(quality.description, ", ", quality.tokens, " predictions")},
          {"Perplexity",
           StrCat(text(quality.perplexity), " (source: ", text(quality.source_perplexity), ")")},
          {"KL divergence from the source", StrCat(text(quality.kl_divergence), " nats")},
          {"Same likeliest token", StrCat(text(100 * quality.top1_agreement), " %")}};
}

// One level, from its plan to its final name.
class LevelJob {
 public:
  LevelJob(const QuantizeRequest& request, const Model& model, const CalibrationSet& calibration,
           const WalkDevice& device, DirectoryPlan plan, JobContext& context)
      : request_(request),
        model_(model),
        calibration_(calibration),
        device_(device),
        context_(context),
        plan_(std::move(plan)) {}

  absl::Status Prepare() {
    plan_.fingerprint = Fingerprint();
    output_.emplace(request_, plan_, context_);
    ASSIGN_OR_RETURN(const std::optional<std::string> existing, output_->FindExisting());
    if (existing) {
      TakeExisting(*existing);
      output_->RemoveLeftovers();
      return absl::OkStatus();
    }
    RETURN_IF_ERROR(
        CheckMemoryFor(request_, NeededMemoryBytes(model_.config, plan_, tokens(), Walk())));
    const uint64_t walk_bytes = WalkDiskBytes(model_.config, tokens(), request_.checkpoint.enabled);
    return CheckDisk(output_->MissingDiskBytes() + walk_bytes, output_->folder().Existing());
  }

  bool is_done() const { return done_; }
  // Of an output that was there already.
  absl::Status AssessExisting(const QualityMeter& meter) {
    ASSIGN_OR_RETURN(const auto existing, OpenPacked(plan_.output_path));
    return Assess(meter, *existing, /*modules=*/{});
  }
  CheckpointOwner owner() const {
    return {plan_.fingerprint, request_.model_name, plan_.level.name, plan_.output_path.string()};
  }

  // `meter` may be null: quality is not wanted.
  absl::Status Run(const CheckpointOptions& checkpoint, const QualityMeter* meter) {
    absl::Status status = Make(checkpoint, meter);
    output_->CleanUp(status, is_too_bad_);
    return status;
  }

  QuantizeResult result() const {
    QuantizeResult result;
    result.output_path = plan_.output_path;
    result.level = plan_.level.name;
    result.format = request_.format;
    result.fingerprint = plan_.fingerprint;
    result.original_dtype = model_.summary.dtype;
    result.original_size_bytes = model_.summary.size_bytes;
    for (const safetensors::PlannedFile& file : plan_.layout.files) {
      result.file_size_bytes += file.size_bytes;
    }
    result.tensors = plan_.tensors.size();
    result.layers_processed = model_.config.geometry.layers;
    result.bits_per_weight = plan_.bits_per_weight();
    result.group_size = plan_.packed.group_size;
    result.calibration = SummaryOf(calibration_);
    result.units_reused = reused_layers_;
    result.already_done = done_;
    result.mean_module_error = mean_error_;
    result.notes = notes_;
    result.quality = quality_;
    result.device = device_.name();
    result.device_memory_bytes = device_.memory_bytes();
    return result;
  }

 private:
  std::string Fingerprint() const {
    const nlohmann::json parts = {kVersion,
                                  model_.fingerprint,
                                  QuantizationConfig(plan_.packed),
                                  SettingsOf(request_, plan_),
                                  request_.calibration.all_tokens_to_experts,
                                  calibration_.hash,
                                  calibration_.windows[0].size(),
                                  device_.kind(),
                                  plan_.output_path.string()};
    return Sha256Hex(parts.dump());
  }

  WalkOptions Walk() const {
    return {.memory_budget_bytes = ActivationBudgetBytes(),
            .spill_folder = output_->part_path(),
            .all_tokens_to_experts = request_.calibration.all_tokens_to_experts,
            .compute = device_.compute()};
  }

  uint64_t tokens() const { return calibration_.windows.size() * calibration_.windows[0].size(); }

  absl::Status Make(const CheckpointOptions& checkpoint, const QualityMeter* meter) {
    RETURN_IF_ERROR(output_->Start(checkpoint));
    context_.progress.OnPhase(Phase::kQuantize);
    context_.progress.OnMessage(StrCat("Quantizing to ", absl::AsciiStrToUpper(request_.format),
                                       " ", plan_.level.name, ", group size ",
                                       plan_.packed.group_size));
    const HalfTensorSource half(*model_.source);
    LayerOutput sink(*output_, plan_, *model_.architecture, half, context_.progress);
    RETURN_IF_ERROR(QuantizeLayers(half, sink));
    if (meter != nullptr) {
      context_.progress.OnPhase(Phase::kAssess);
      ASSIGN_OR_RETURN(const auto written, OpenPacked(output_->part_path()));
      RETURN_IF_ERROR(Assess(*meter, *written, sink.reports()));
    }

    context_.progress.OnPhase(Phase::kValidate);
    context_.progress.OnMessage("Validating output...");
    RETURN_IF_ERROR(WriteCompanions(sink));
    RETURN_IF_ERROR(output_->Validate());
    context_.progress.OnPhase(Phase::kPublish);
    RETURN_IF_ERROR(sink.RemoveReportFiles(model_.config.geometry.layers));
    return output_->Publish();
  }

  absl::Status QuantizeLayers(const HalfTensorSource& half, LayerOutput& sink) {
    const uint32_t layers = model_.config.geometry.layers;
    const size_t reused = output_->reused_units();
    if (reused == 0) {
      RETURN_IF_ERROR(sink.FinishUnit(0));
    }
    reused_layers_ = reused == 0 ? 0 : reused - 1;
    RETURN_IF_ERROR(sink.TakeReports(reused_layers_));
    context_.progress.OnProgress(reused_layers_, layers, "layers", 0);
    if (reused_layers_ == layers) return absl::OkStatus();
    ASSIGN_OR_RETURN(const auto walk, LayerWalk::Start(model_.config, model_.hf_config, half,
                                                       calibration_.windows, Walk(), context_));
    RETURN_IF_ERROR(Replay(*walk));
    const std::unique_ptr<LayerVisitor> quantizer =
        MakeQuantizer(request_, model_, plan_, sink, context_.threads);
    for (uint32_t layer = static_cast<uint32_t>(reused_layers_); layer < layers; ++layer) {
      RETURN_IF_ERROR(context_.CheckStopped());
      RETURN_IF_ERROR(walk->RunLayer(layer, half, *quantizer)) << "layer " << layer;
      if (output_->walk_path().empty() || layer + 1 == layers) continue;
      RETURN_IF_ERROR(SaveWalk(output_->walk_path(), {layer + 1, ""}, walk->hidden()));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<PackedTensorSource>> OpenPacked(const fs::path& folder) const {
    return PackedTensorSource::Open(folder, *model_.architecture,
                                    {.method = plan_.method,
                                     .bits = plan_.packed.bits,
                                     .group_size = plan_.packed.group_size,
                                     .sym = plan_.packed.sym,
                                     .tagged_version = plan_.packed.version});
  }

  absl::Status Assess(const QualityMeter& meter, const TensorSource& quantized,
                      std::span<const ModuleReport> modules) {
    QualityMeter::Facts facts = {
        .output_path = plan_.output_path,
        .level = plan_.level.name,
        .bits_per_weight = plan_.bits_per_weight(),
        .size_bytes = result().file_size_bytes,
        .calibration = SummaryOf(calibration_),
        .settings = {{"Group size", std::to_string(plan_.packed.group_size)},
                     {"Zero points", plan_.packed.sym ? "none (symmetric)" : "of their own"}},
        .modules = modules};
    ASSIGN_OR_RETURN(quality_, meter.Measure(quantized, facts));
    const absl::Status status = meter.CheckLimit(*quality_, plan_.level.name);
    is_too_bad_ = !status.ok();
    return status;
  }

  // The layers that an earlier attempt finished: what left them was saved, or comes out of what it
  // wrote.
  absl::Status Replay(LayerWalk& walk) {
    if (reused_layers_ == 0) return absl::OkStatus();
    ASSIGN_OR_RETURN(const auto saved,
                     LoadWalk(output_->walk_path(), reused_layers_, walk.hidden()));
    ASSIGN_OR_RETURN(const auto written, OpenPacked(output_->part_path()));
    LayerVisitor nobody;
    for (uint32_t layer = saved ? saved->layers_done : 0; layer < reused_layers_; ++layer) {
      RETURN_IF_ERROR(walk.RunLayer(layer, *written, nobody)) << "layer " << layer;
    }
    return absl::OkStatus();
  }

  absl::Status WriteCompanions(const LayerOutput& sink) {
    double sum = 0;
    for (const ModuleReport& report : sink.reports()) {
      sum += report.relative_error;
      for (const std::string& note : report.notes) {
        notes_.push_back(StrCat(report.module, ": ", note));
      }
    }
    if (!sink.reports().empty()) mean_error_ = sum / static_cast<double>(sink.reports().size());
    RETURN_IF_ERROR(CopyFiles(model_.path, output_->part_path(), model_.companions));
    ASSIGN_OR_RETURN(const std::string config,
                     OutputConfigText(model_.hf_config.file(), plan_.packed));
    RETURN_IF_ERROR(output_->WriteFile("config.json", config));
    if (plan_.method == PackedMethod::kGptq) {
      RETURN_IF_ERROR(output_->WriteFile(kQuantizeConfigFile, QuantizeConfigText(plan_.packed)));
    }
    const auto card = ReadFile(model_.path / "README.md", kMaxCardBytes);
    CardFacts facts;
    facts.title = model_.summary.name;
    facts.options = plan_.packed;
    facts.calibration =
        StrCat(calibration_.windows.size(), " windows of ", calibration_.windows[0].size(),
               " tokens, ", calibration_.description);
    facts.loaders = LoaderNotes(plan_.packed, plan_.linears, 1);
    if (quality_) facts.quality = MeasuresOf(*quality_);
    RETURN_IF_ERROR(output_->WriteFile("README.md", ModelCard(card.ok() ? *card : "", facts)));
    const nlohmann::json provenance = {{"tool", "llm-quantize"},
                                       {"version", kVersion},
                                       {"fingerprint", plan_.fingerprint},
                                       {"source_fingerprint", model_.fingerprint},
                                       {"format", request_.format},
                                       {"level", plan_.level.name},
                                       {"group_size", plan_.packed.group_size},
                                       {"calibration",
                                        {{"data", calibration_.description},
                                         {"hash", calibration_.hash},
                                         {"windows", calibration_.windows.size()},
                                         {"sequence_length", calibration_.windows[0].size()},
                                         {"seed", request_.calibration.seed}}},
                                       {"mean_module_error", mean_error_},
                                       {"notes", notes_},
                                       {"modules", ReportsToJson(sink.reports())}};
    return output_->WriteFile(
        kProvenanceFile,
        provenance.dump(1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
  }

  void TakeExisting(const std::string& provenance) {
    done_ = true;
    const auto json = nlohmann::json::parse(provenance, nullptr, false);
    if (const auto error = json.find("mean_module_error");
        error != json.end() && error->is_number()) {
      mean_error_ = error->get<double>();
    }
    for (const auto& note : json.value("notes", nlohmann::json::array())) {
      if (note.is_string()) notes_.push_back(note.get<std::string>());
    }
  }

  const QuantizeRequest& request_;
  const Model& model_;
  const CalibrationSet& calibration_;
  const WalkDevice& device_;
  JobContext& context_;
  DirectoryPlan plan_;
  std::optional<DirectoryOutput> output_;
  bool done_ = false;
  std::optional<QualitySummary> quality_;
  bool is_too_bad_ = false;  // for the request's limit: what is made may still be wanted
  uint64_t reused_layers_ = 0;
  double mean_error_ = 0;
  std::vector<std::string> notes_;
};

absl::Status CheckOutputs(const QuantizeRequest& request) {
  if (request.outputs.empty()) {
    return MakeError(Error::kInvalidArgument, "no quantization level was given");
  }
  std::set<std::string> levels;
  for (const OutputRequest& output : request.outputs) {
    ASSIGN_OR_RETURN(const BitLevel level, FindBitLevel(MethodOf(request.format), output.level));
    if (levels.insert(level.name).second) continue;
    return MakeError(Error::kInvalidArgument, StrCat("level ", level.name, " is given twice"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<QuantizeForecast> ForecastToDirectory(const QuantizeRequest& request,
                                                     size_t threads) {
  RETURN_IF_ERROR(CheckOutputs(request));
  ASSIGN_OR_RETURN(const Model model, OpenModel(request.model_path));
  const uint64_t tokens =
      uint64_t{request.calibration.samples} * request.calibration.sequence_length;
  QuantizeForecast forecast;
  forecast.model = model.summary;
  forecast.threads = threads;
  forecast.memory_available_bytes = AvailableMemoryBytes();
  const WalkOptions walk = {.memory_budget_bytes = ActivationBudgetBytes()};
  for (const OutputRequest& output : request.outputs) {
    ASSIGN_OR_RETURN(const DirectoryPlan plan, PlanOf(request, output, model));
    forecast.disk_needed_bytes += forecast.outputs.emplace_back(ForecastOf(plan)).size_bytes;
    ASSIGN_OR_RETURN(const WalkForecast walk_forecast,
                     ForecastWalkOf(request, model, plan, threads));
    if (!forecast.walk) forecast.walk.emplace();
    forecast.walk->seconds += walk_forecast.seconds;
    forecast.walk->device_memory_bytes =
        std::max(forecast.walk->device_memory_bytes, walk_forecast.device_memory_bytes);
    forecast.memory_needed_bytes =
        std::max(forecast.memory_needed_bytes, NeededMemoryBytes(model.config, plan, tokens, walk));
    WarnOf(plan, forecast);
  }
  // One level is walked after the other.
  forecast.disk_needed_bytes += WalkDiskBytes(model.config, tokens, request.checkpoint.enabled);
  const fs::path folder =
      OutputFolder(fs::absolute(request.outputs[0].path).parent_path()).Existing();
  ASSIGN_OR_RETURN(forecast.disk_free_bytes, FreeDiskBytes(folder));
  for (const absl::Status& status : {CheckMemoryFor(request, forecast.memory_needed_bytes),
                                     CheckDisk(forecast.disk_needed_bytes, folder)}) {
    if (!status.ok()) forecast.warnings.push_back(std::string(status.message()));
  }
  return forecast;
}

QuantizeOutcome QuantizeToDirectory(const QuantizeRequest& request, JobContext& context) {
  QuantizeOutcome outcome;
  std::vector<std::unique_ptr<LevelJob>> jobs;
  std::optional<Model> model;
  WalkDevice device;
  std::optional<QualityMeter> meter;
  CalibrationSet calibration;
  const auto prepare = [&]() -> absl::StatusOr<std::vector<CheckpointOptions>> {
    context.progress.OnPhase(Phase::kProbe);
    RETURN_IF_ERROR(CheckOutputs(request));
    ASSIGN_OR_RETURN(device, WalkDevice::Choose(request.device, context.progress));
    context.progress.OnMessage(StrCat("Loading model: ", request.model_name));
    ASSIGN_OR_RETURN(model, OpenModel(request.model_path));
    const uint32_t layers = model->config.geometry.layers;
    context.progress.OnMessage(StrCat("Architecture: ", model->summary.architecture, " (", layers,
                                      layers == 1 ? " layer)" : " layers)"));
    // What does not fit the model is refused before its text is tokenized.
    std::vector<DirectoryPlan> plans;
    for (const OutputRequest& output : request.outputs) {
      ASSIGN_OR_RETURN(DirectoryPlan plan, PlanOf(request, output, *model));
      plans.push_back(std::move(plan));
    }
    context.progress.OnPhase(Phase::kLoad);
    ASSIGN_OR_RETURN(calibration, LoadCalibrationSet(request.calibration, *model, context));
    RETURN_IF_ERROR(device.Open(model->config, calibration.windows[0].size(), StatisticsKind::kGram,
                                context.progress));
    if (request.quality.is_wanted) {
      ASSIGN_OR_RETURN(meter, QualityMeter::Open(request, *model, device, context));
    }
    std::vector<CheckpointOwner> owners;
    for (DirectoryPlan& plan : plans) {
      jobs.push_back(std::make_unique<LevelJob>(request, *model, calibration, device,
                                                std::move(plan), context));
      RETURN_IF_ERROR(jobs.back()->Prepare());
      if (!jobs.back()->is_done()) owners.push_back(jobs.back()->owner());
    }
    return OptionsOfEach(request.checkpoint, owners);
  };
  const absl::StatusOr<std::vector<CheckpointOptions>> options = prepare();
  outcome.status = options.status();
  size_t open = 0;
  for (size_t i = 0; options.ok() && i < jobs.size(); ++i) {
    absl::Status status;
    if (!jobs[i]->is_done()) {
      status = jobs[i]->Run((*options)[open++], meter ? &*meter : nullptr);
    } else if (meter) {
      status = jobs[i]->AssessExisting(*meter);
    }
    if (status.ok()) outcome.finished.push_back(jobs[i]->result());
    outcome.status.Update(status);
    if (!status.ok() && ErrorOf(status) == Error::kCancelled) break;
  }
  return outcome;
}

}  // namespace quantized
