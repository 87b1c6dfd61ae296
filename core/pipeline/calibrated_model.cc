#include "core/pipeline/calibrated_model.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/machine.h"
#include "core/base/sha256.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/forward/hf_tensor_source.h"
#include "core/forward/layer_weights.h"
#include "core/pipeline/gguf_model.h"
#include "core/pipeline/room.h"
#include "core/rebuild/hf_files.h"
#include "core/source/hf_summary.h"
#include "core/source/locate.h"
#include "core/source/quantization.h"

namespace quantized {
namespace {

// Of the built-in text where `data` is empty.
absl::StatusOr<TokenizedDocuments> LoadDocuments(const std::filesystem::path& data,
                                                 const CalibratedModel& model,
                                                 JobContext& context) {
  // May be null, and of a model of several parts anything.
  const nlohmann::json type = model.hf_config.fields().value("model_type", nlohmann::json());
  return LoadCalibrationData(data.empty() ? std::nullopt : std::optional(data), model.path,
                             type.is_string() ? type.get<std::string>() : "", context);
}

CalibrationOptions OptionsOf(const CalibrationRequest& request) {
  return {
      .samples = request.samples, .sequence_length = request.sequence_length, .seed = request.seed};
}

// From as many tokens as a linear has inputs a Gram matrix is just no longer singular; what it says
// of other text takes several times as many (docs/design/gptq.md, "What it measured").
void WarnOfFewTokens(const CalibrationSet& set, const ForwardConfig& config,
                     ProgressSink& progress) {
  constexpr uint64_t kTokensPerInput = 8;
  const uint64_t widest =
      std::max<uint64_t>({config.geometry.hidden, config.query_size(), FeedForwardWidth(config)});
  const uint64_t tokens = set.windows.size() * set.windows[0].size();
  if (tokens >= kTokensPerInput * widest) return;
  progress.OnWarning(StrCat("calibration data ", set.description, ": ", tokens,
                            " tokens are few for linears of ", widest, " inputs; better are ",
                            kTokensPerInput * widest, " or more (--calibration-samples)"));
}

void WarnOfLongWindows(const CalibrationSet& set, const HfConfig& config, ProgressSink& progress) {
  constexpr std::string_view kNames[] = {"max_position_embeddings"};
  const absl::StatusOr<std::optional<uint32_t>> longest = config.Uint32(kNames);
  const size_t length = set.windows[0].size();
  if (!longest.ok() || !*longest || length <= **longest) return;
  progress.OnWarning(StrCat("samples of ", length, " tokens are longer than the ", **longest,
                            " that the model was made for (max_position_embeddings); better is a "
                            "shorter --sequence-length"));
}

absl::StatusOr<CalibratedModel> OpenDirectory(const std::filesystem::path& path) {
  ASSIGN_OR_RETURN(HfConfig hf_config, HfConfig::Read(path));
  CalibratedModel model{.path = path, .hf_config = std::move(hf_config)};
  model.architecture = FindArchitecture(model.hf_config.architecture());
  if (model.architecture == nullptr) {
    return MakeError(Error::kValidationFailed,
                     StrCat("config.json: architectures: found '", model.hf_config.architecture(),
                            "', which this version does not run"));
  }
  RETURN_IF_ERROR(CheckIsOriginal(model.hf_config, path));
  ASSIGN_OR_RETURN(model.config, ForwardConfigOf(*model.architecture, model.hf_config));
  ASSIGN_OR_RETURN(std::unique_ptr<HfTensorSource> source,
                   HfTensorSource::Open(path, *model.architecture));
  ASSIGN_OR_RETURN(model.summary,
                   SummarizeHf(model.hf_config, source->weights(), HfModelName(path)));
  Sha256 hash;
  RETURN_IF_ERROR(source->weights().Fingerprint(hash));
  hash.Update(model.hf_config.file().dump());
  model.weights_fingerprint = hash.HexDigest();
  model.tensors = source->tensors();
  model.source = std::move(source);
  return model;
}

absl::StatusOr<CalibratedModel> OpenGguf(const std::filesystem::path& file,
                                         std::string_view pre_tokenizer) {
  ASSIGN_OR_RETURN(GgufModel opened, OpenGgufModel(file));
  ASSIGN_OR_RETURN(const std::vector<HfFile> files, RebuildHfFiles(*opened.source, pre_tokenizer));
  CalibratedModel model{.hf_config = std::move(opened.hf_config),
                        .architecture = opened.architecture,
                        .config = std::move(opened.config),
                        .tensors = opened.tensors->tensors(),
                        .summary = opened.source->summary(),
                        .weights_fingerprint = opened.source->fingerprint()};
  model.is_quantized = HasBlocks(opened.source->tensors());
  model.source = std::move(opened.tensors);
  ASSIGN_OR_RETURN(model.rebuilt, TempFolder::Create("quantize-worker"));
  model.path = model.rebuilt->path();
  for (const HfFile& one : files) {
    RETURN_IF_ERROR(CreateDirectories((model.path / one.name).parent_path()));
    RETURN_IF_ERROR(WriteFileAtomically(model.path / one.name, one.bytes));
  }
  return model;
}

// Nothing is converted where a model is run: what no directory can tell of it makes it one that
// cannot be run.
absl::Status NotRunnable(const absl::Status& status) {
  if (ErrorOf(status) != Error::kUnsupportedConversion) return status;
  const std::string_view message(status.message().data(), status.message().size());
  return MakeError(Error::kValidationFailed, message, SuggestionOf(status));
}

}  // namespace

absl::StatusOr<CalibratedModel> OpenCalibratedModel(const std::filesystem::path& path,
                                                    std::string_view pre_tokenizer) {
  ASSIGN_OR_RETURN(const LocatedModel located, LocateModel(path));
  if (located.kind != ModelKind::kGgufFile) return OpenDirectory(located.path);
  absl::StatusOr<CalibratedModel> model = OpenGguf(located.path, pre_tokenizer);
  if (!model.ok()) return NotRunnable(model.status());
  return model;
}

absl::StatusOr<CalibrationSet> LoadCalibrationSet(const CalibrationRequest& request,
                                                  StatisticsKind kind, const CalibratedModel& model,
                                                  JobContext& context) {
  ASSIGN_OR_RETURN(const TokenizedDocuments documents, LoadDocuments(request.data, model, context));
  ASSIGN_OR_RETURN(CalibrationSet set, MakeCalibrationSet(documents, OptionsOf(request)));
  for (const std::string& warning : documents.warnings) context.progress.OnWarning(warning);
  for (const std::string& warning : set.warnings) context.progress.OnWarning(warning);
  WarnOfLongWindows(set, model.hf_config, context.progress);
  if (kind == StatisticsKind::kGram) WarnOfFewTokens(set, model.config, context.progress);
  return set;
}

absl::StatusOr<CalibrationSet> LoadHeldOutSet(const CalibrationRequest& request, uint32_t windows,
                                              bool is_calibrated, const CalibratedModel& model,
                                              JobContext& context) {
  CalibrationSet set;
  bool is_seen = false;  // the text, by the calibration
  for (std::filesystem::path data = request.data;; data.clear()) {
    is_seen = is_calibrated && data == request.data;
    ASSIGN_OR_RETURN(const TokenizedDocuments documents, LoadDocuments(data, model, context));
    CalibrationOptions options = OptionsOf(request);
    ASSIGN_OR_RETURN(set, MakeHeldOutSet(documents, options, windows));
    if (!is_seen && set.windows.size() < windows) {
      options.samples = 0;
      ASSIGN_OR_RETURN(set, MakeHeldOutSet(documents, options, windows));
    }
    if (!set.windows.empty() || data.empty()) break;
    context.progress.OnWarning(
        is_seen ? StrCat("calibration takes all of ", set.description,
                         ": quality is measured on the built-in text")
                : StrCat(set.description, " has no sample of ", request.sequence_length,
                         " tokens: quality is measured on the built-in text"));
  }
  for (const std::string& warning : set.warnings) context.progress.OnWarning(warning);
  if (!set.windows.empty()) return set;
  if (!is_seen) {
    return MakeError(Error::kInvalidArgument,
                     StrCat("the ", set.description, " has no sample of ", request.sequence_length,
                            " tokens to measure quality on"),
                     "Use a shorter --sequence-length");
  }
  return MakeError(Error::kInvalidArgument,
                   StrCat("calibration takes all of the ", set.description,
                          ": none is left to measure quality on"),
                   "Use fewer --calibration-samples, or calibrate with a text of your own");
}

uint64_t WalkMemoryBytes(const ForwardConfig& config, const WalkNeeds& walk) {
  const uint64_t hidden = config.geometry.hidden;
  const uint64_t attention = 2 * hidden * (config.query_size() + config.key_size());
  const uint64_t width = FeedForwardWidth(config);
  // Twice: a linear is read before it is put in its place.
  return kWalkProgramBytes + 2 * std::max(attention, 3 * hidden * width) * sizeof(float) +
         walk.memory_bytes;
}

absl::Status CheckWalkMemory(const ForwardConfig& config, const WalkNeeds& walk,
                             std::string_view what) {
  return CheckMemory(WalkMemoryBytes(config, walk), what,
                     "Free memory, or use fewer samples or --threads");
}

WalkSize WalkSizeOf(const CalibrationSet& calibration, size_t threads, bool changes_weights) {
  return {.windows = calibration.windows.size(),
          .window_length = calibration.windows[0].size(),
          .threads = threads,
          .changes_weights = changes_weights};
}

WalkSize WalkSizeOf(const CalibrationRequest& request, size_t threads, bool changes_weights) {
  return {.windows = request.samples,
          .window_length = request.sequence_length,
          .threads = threads,
          .changes_weights = changes_weights};
}

CalibrationSummary SummaryOf(const CalibrationSet& calibration) {
  return {calibration.description, calibration.hash, calibration.windows.size(),
          calibration.windows[0].size()};
}

uint64_t ActivationBudgetBytes() {
  constexpr uint64_t kShare = 4;
  return AvailableMemoryBytes() / kShare;
}

}  // namespace quantized
