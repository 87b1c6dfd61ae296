#include "core/pipeline/directory_level.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_format.h"
#include "core/base/sha256.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/base/version.h"
#include "core/packed/model_card.h"
#include "core/pipeline/calibrated_model.h"
#include "core/pipeline/directory_files.h"
#include "core/pipeline/walk_snapshot.h"

namespace quantized {
namespace {

namespace fs = std::filesystem;

std::vector<CardFacts::Measure> MeasuresOf(const QualitySummary& quality) {
  const auto text = [](double value) { return absl::StrFormat("%.4g", value); };
  return {{"Text", StrCat(quality.description, ", ", quality.tokens, " predictions")},
          {"Perplexity",
           StrCat(text(quality.perplexity), " (source: ", text(quality.source_perplexity), ")")},
          {"KL divergence from the source", StrCat(text(quality.kl_divergence), " nats")},
          {"Same likeliest token", StrCat(text(100 * quality.top1_agreement), " %")}};
}

}  // namespace

DirectoryLevel::DirectoryLevel(const QuantizeRequest& request, const UnquantizedModel& model,
                               const CalibrationSet& calibration, const WalkDevice& device,
                               DirectoryPlan plan, JobContext& context)
    : request_(request),
      model_(model),
      calibration_(calibration),
      device_(device),
      context_(context),
      plan_(std::move(plan)) {}

absl::Status DirectoryLevel::Prepare() {
  plan_.fingerprint = Fingerprint();
  output_.emplace(request_, plan_, context_);
  ASSIGN_OR_RETURN(const std::optional<std::string> existing, output_->FindExisting());
  if (existing) {
    TakeExisting(*existing);
    output_->RemoveLeftovers();
    return absl::OkStatus();
  }
  return CheckLayerQuantizerMemory(
      request_, LayerQuantizerMemoryBytes(plan_, context_.threads.size(), NeedsOfWalk()));
}

DiskNeeds DirectoryLevel::lasting_disk() const {
  DiskNeeds needs;
  if (!done_) needs.Add(output_->part_path(), output_->MissingDiskBytes());
  return needs;
}

DiskNeeds DirectoryLevel::passing_disk() const {
  return done_ ? DiskNeeds()
               : PassingDiskNeeds(request_, model_.config, plan_, SizeOfWalk(), NeedsOfWalk());
}

CheckpointOwner DirectoryLevel::owner() const {
  return {plan_.fingerprint, request_.model_name, plan_.level.name, plan_.output_path.string()};
}

absl::Status DirectoryLevel::Run(const CheckpointOptions& checkpoint, const QualityMeter* meter) {
  absl::Status status = Make(checkpoint, meter);
  output_->CleanUp(status, is_whole_);
  return status;
}

absl::Status DirectoryLevel::AssessExisting(const QualityMeter& meter) {
  ASSIGN_OR_RETURN(const auto existing, OpenPacked(plan_.output_path));
  return Assess(meter, *existing, existing_reports_);
}

QuantizeResult DirectoryLevel::result() const {
  QuantizeResult result = ResultOf(plan_);
  result.original_dtype = model_.summary.dtype;
  result.original_size_bytes = model_.summary.size_bytes;
  result.layers_processed = model_.config.geometry.layers;
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

std::string DirectoryLevel::Fingerprint() const {
  const nlohmann::json parts = {kVersion,
                                model_.fingerprint,
                                QuantizationConfig(plan_.packed),
                                LayerQuantizerSettings(request_, plan_),
                                request_.calibration.all_tokens_to_experts,
                                calibration_.hash,
                                calibration_.windows[0].size(),
                                device_.kind(),
                                request_.calibrated.max_file_bytes,
                                plan_.output_path.string()};
  return Sha256Hex(parts.dump());
}

WalkOptions DirectoryLevel::Walk() const {
  return {.memory_budget_bytes = activation_budget_bytes_,
          .spill_folder = output_->part_path(),
          .all_tokens_to_experts = request_.calibration.all_tokens_to_experts,
          .compute = device_.compute()};
}

WalkSize DirectoryLevel::SizeOfWalk() const {
  return WalkSizeOf(calibration_, context_.threads.size(), /*changes_weights=*/true);
}

WalkNeeds DirectoryLevel::NeedsOfWalk() const {
  return NeedsOf(model_.config, SizeOfWalk(), Walk());
}

absl::Status DirectoryLevel::Make(const CheckpointOptions& checkpoint, const QualityMeter* meter) {
  RETURN_IF_ERROR(output_->Start(checkpoint));
  context_.progress.OnPhase(Phase::kQuantize);
  context_.progress.OnMessage(StrCat("Quantizing to ", absl::AsciiStrToUpper(request_.format), " ",
                                     plan_.level.name, ", group size ", plan_.packed.group_size));
  const HalfTensorSource half(*model_.source);
  LayerOutput sink(*output_, plan_, *model_.architecture, half, context_.progress);
  RETURN_IF_ERROR(QuantizeLayers(half, sink));
  if (meter != nullptr) {
    context_.progress.OnPhase(Phase::kAssess);
    is_whole_ = true;
    ASSIGN_OR_RETURN(const auto written, OpenPacked(output_->part_path()));
    RETURN_IF_ERROR(Assess(*meter, *written, sink.reports()));
    is_whole_ = false;  // validation decides
  }

  context_.progress.OnPhase(Phase::kValidate);
  context_.progress.OnMessage("Validating output...");
  RETURN_IF_ERROR(WriteCompanions(sink));
  RETURN_IF_ERROR(output_->Validate());
  context_.progress.OnPhase(Phase::kPublish);
  RETURN_IF_ERROR(sink.RemoveReportFiles(model_.config.geometry.layers));
  return output_->Publish();
}

absl::Status DirectoryLevel::QuantizeLayers(const HalfTensorSource& half, LayerOutput& sink) {
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
      MakeLayerQuantizer(request_, model_, plan_, sink, context_.threads);
  for (uint32_t layer = static_cast<uint32_t>(reused_layers_); layer < layers; ++layer) {
    RETURN_IF_ERROR(context_.CheckStopped());
    RETURN_IF_ERROR(walk->RunLayer(layer, half, *quantizer)) << "layer " << layer;
    if (output_->walk_path().empty() || layer + 1 == layers) continue;
    RETURN_IF_ERROR(SaveWalk(output_->walk_path(), {layer + 1, ""}, walk->hidden()));
  }
  return absl::OkStatus();
}

// The layers that an earlier attempt finished: what left them was saved, or comes out of what it
// wrote.
absl::Status DirectoryLevel::Replay(LayerWalk& walk) {
  if (reused_layers_ == 0) return absl::OkStatus();
  ASSIGN_OR_RETURN(const auto saved, LoadWalk(output_->walk_path(), reused_layers_, walk.hidden()));
  ASSIGN_OR_RETURN(const auto written, OpenPacked(output_->part_path()));
  LayerVisitor nobody;
  for (uint32_t layer = saved ? saved->layers_done : 0; layer < reused_layers_; ++layer) {
    RETURN_IF_ERROR(walk.RunLayer(layer, *written, nobody)) << "layer " << layer;
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<PackedTensorSource>> DirectoryLevel::OpenPacked(
    const fs::path& folder) const {
  return PackedTensorSource::Open(folder, *model_.architecture,
                                  {.method = plan_.method,
                                   .bits = plan_.packed.bits,
                                   .group_size = plan_.packed.group_size,
                                   .sym = plan_.packed.sym,
                                   .tagged_version = plan_.packed.version});
}

absl::Status DirectoryLevel::Assess(const QualityMeter& meter, const TensorSource& quantized,
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
  return meter.CheckLimit(*quality_, plan_.level.name);
}

absl::Status DirectoryLevel::WriteCompanions(const LayerOutput& sink) {
  double sum = 0;
  size_t known = 0, rounded = 0;
  for (const ModuleReport& report : sink.reports()) {
    sum += report.relative_error.value_or(0);
    known += report.relative_error ? 1 : 0;
    rounded += report.rounded ? 1 : 0;
    for (const std::string& note : report.notes) {
      notes_.push_back(StrCat(report.module, ": ", note));
    }
  }
  if (known > 0) mean_error_ = sum / static_cast<double>(known);
  if (rounded > 0) {
    context_.progress.OnWarning(StrCat(rounded, " of ", sink.reports().size(),
                                       " linears were rounded to nearest: the calibration tells "
                                       "too little of them (see the notes of the result)"));
  }
  DirectoryFiles files = {.companions_from = model_.path,
                          .companions = model_.companions,
                          .config = model_.hf_config.file(),
                          .source_card = SourceCard(model_.path)};
  files.card.title = model_.summary.name;
  files.card.base_model = request_.hub_repository;
  files.card.calibration =
      StrCat(calibration_.windows.size(), " windows of ", calibration_.windows[0].size(),
             " tokens, ", calibration_.description);
  if (quality_) files.card.quality = MeasuresOf(*quality_);
  files.provenance = {
      {"source_fingerprint", model_.fingerprint},
      {"calibration",
       {{"data", calibration_.description},
        {"hash", calibration_.hash},
        {"windows", calibration_.windows.size()},
        {"sequence_length", calibration_.windows[0].size()},
        {"seed", request_.calibration.seed}}},
      {"mean_module_error", mean_error_ ? nlohmann::json(*mean_error_) : nlohmann::json()},
      {"notes", notes_},
      {"modules", ReportsToJson(sink.reports())}};
  return WriteDirectoryFiles(plan_, std::move(files), *output_);
}

void DirectoryLevel::TakeExisting(const std::string& provenance) {
  done_ = true;
  const auto json = nlohmann::json::parse(provenance, nullptr, false);
  if (!json.is_object()) return;
  if (const auto error = json.find("mean_module_error");
      error != json.end() && error->is_number()) {
    mean_error_ = error->get<double>();
  }
  ReportsFromJson(json.value("modules", nlohmann::json()), existing_reports_);
  for (const auto& note : json.value("notes", nlohmann::json::array())) {
    if (note.is_string()) notes_.push_back(note.get<std::string>());
  }
}

}  // namespace quantized
