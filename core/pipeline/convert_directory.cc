#include "core/pipeline/convert_directory.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <filesystem>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "core/arch/tensor_names.h"
#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/machine.h"
#include "core/base/sha256.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/base/version.h"
#include "core/packed/loader_notes.h"
#include "core/pipeline/conversion_loss.h"
#include "core/pipeline/converted_folder.h"
#include "core/pipeline/directory_files.h"
#include "core/pipeline/directory_output.h"
#include "core/pipeline/directory_plan.h"
#include "core/pipeline/output_guard.h"
#include "core/pipeline/progress.h"
#include "core/pipeline/room.h"
#include "core/source/checkpoint_tensor.h"
#include "core/source/locate.h"
#include "core/source/widen.h"
#include "core/tensor/dtype.h"
#include "kernels/types/half.h"

namespace quantized {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kBytesAtOnce = 4 << 20;  // of a tensor that is copied

// The layer of a tensor, 3 of "model.layers.3.mlp"; nothing outside layers.
std::optional<uint32_t> LayerNumberOf(std::string_view name) {
  while (!name.empty()) {
    const size_t dot = std::min(name.find('.'), name.size());
    const std::string_view part = name.substr(0, dot);
    uint32_t layer = 0;
    const bool is_number = !part.empty() && std::ranges::all_of(part, absl::ascii_isdigit);
    if (is_number && absl::SimpleAtoi(std::string(part), &layer)) return layer;
    name.remove_prefix(std::min(dot + 1, name.size()));
  }
  return std::nullopt;
}

// Whether it may be the weight of a linear, which is not quantized: loaders have to know. Of the
// head they do, and an embedding is none.
bool IsLinear(const CheckpointTensor& tensor) {
  return tensor.shape.size() == 2 && tensor.name.ends_with(".weight") &&
         ModuleOfWeight(tensor.name) != "lm_head" && tensor.name.find("embed") == std::string::npos;
}

// Whether a loader, for which all of the result is float16, finds numbers where the tensor has
// them. Integers stay what they are; tables that a model makes anew are not loaded.
absl::Status CheckValues(const CheckpointTensor& tensor, std::span<const std::byte> bytes) {
  const DTypeRow& type = RowOf(tensor.dtype);
  if (!type.is_float) return absl::OkStatus();
  std::vector<float> values(bytes.size() / type.size_bytes);
  WidenToF32(tensor.dtype, bytes.data(), values.size(), values.data());
  for (const float value : values) {
    if (!std::isfinite(value)) {
      return MakeError(Error::kValidationFailed,
                       StrCat(tensor.Origin(), ": holds values that are no finite numbers"),
                       "Check that the weights are whole, or use the original model");
    }
    if (IsBuffer(tensor.name) || kernels::IsFiniteF16(kernels::F32ToF16(value))) continue;
    return MakeError(Error::kValidationFailed,
                     StrCat(tensor.Origin(), ": found ", value,
                            ", expected values that float16 can hold (up to 65504)"),
                     "Convert to gguf, which keeps them");
  }
  return absl::OkStatus();
}

struct Item {
  size_t unit;
  const ConvertedFolder::Linear* linear;  // or
  const CheckpointTensor* other;
};

// By units: 0 is what lies outside layers, then the layers that there are, one after the other.
// Their numbers may be any: a name costs no more than its tensor.
std::vector<Item> ItemsOf(const ConvertedFolder& folder) {
  std::map<uint32_t, size_t> unit_of;
  for (const ConvertedFolder::Linear& linear : folder.linears) {
    if (const auto layer = LayerNumberOf(linear.shape.name)) unit_of[*layer] = 0;
  }
  for (const CheckpointTensor& tensor : folder.others) {
    if (const auto layer = LayerNumberOf(tensor.name)) unit_of[*layer] = 0;
  }
  size_t units = 0;
  for (auto& [layer, unit] : unit_of) unit = ++units;
  const auto unit = [&](std::string_view name) {
    const std::optional<uint32_t> layer = LayerNumberOf(name);
    return layer ? unit_of.at(*layer) : 0;
  };
  std::vector<Item> items;
  for (const ConvertedFolder::Linear& linear : folder.linears) {
    items.push_back({unit(linear.shape.name), &linear, nullptr});
  }
  for (const CheckpointTensor& tensor : folder.others) {
    items.push_back({unit(tensor.name), nullptr, &tensor});
  }
  std::ranges::stable_sort(items, {}, &Item::unit);
  return items;
}

absl::StatusOr<DirectoryPlan> PlanOf(const QuantizeRequest& request, const Conversion& conversion,
                                     const ConvertedFolder& folder) {
  DirectoryPlan plan;
  plan.method = conversion.packed.method;
  ASSIGN_OR_RETURN(plan.level, FindBitLevel(plan.method, conversion.level));
  plan.packed = conversion.packed;
  plan.packed.is_converted = true;
  plan.output_path = fs::absolute(request.outputs[0].path).lexically_normal();
  for (const ConvertedFolder::Linear& linear : folder.linears) plan.linears.push_back(linear.shape);
  for (const CheckpointTensor& tensor : folder.others) {
    if (!IsLinear(tensor)) continue;
    plan.packed.modules_not_converted.push_back(ModuleOfWeight(tensor.name));
  }
  RETURN_IF_ERROR(CheckOptions(plan.packed));
  for (const Item& item : ItemsOf(folder)) {
    if (item.linear != nullptr) {
      plan.AddLinear(item.linear->shape, item.unit);
    } else {
      plan.AddTensor(item.other->name, item.other->dtype, item.other->shape, item.unit);
    }
    plan.units = std::max(plan.units, item.unit + 1);
  }
  RETURN_IF_ERROR(plan.LayOut());
  nlohmann::json parts = {kVersion, folder.fingerprint, QuantizationConfig(plan.packed),
                          NameOf(conversion.fidelity), plan.output_path.string()};
  // Of all or none of the linears the fidelity tells it.
  if (!conversion.anew.empty() && conversion.anew.size() < folder.linears.size()) {
    parts.push_back(conversion.anew);
  }
  plan.fingerprint = Sha256Hex(parts.dump());
  return plan;
}

absl::StatusOr<ConvertedFolder> FolderOf(const QuantizeRequest& request,
                                         const Conversion& conversion) {
  ASSIGN_OR_RETURN(const LocatedModel located, LocateModel(request.model_path));
  return located.kind == ModelKind::kGgufFile
             ? FolderOfGguf(located.path, conversion, request.pre_tokenizer)
             : FolderOfPacked(located.path, conversion);
}

// The largest linear, as codes, as floats and packed, for each thread.
uint64_t NeededMemoryBytes(const DirectoryPlan& plan, size_t threads) {
  constexpr uint64_t kProgramBytes = 48 << 20;
  constexpr uint64_t kBytesPerWeight = 8;
  uint64_t largest = 0;
  for (const LinearShape& linear : plan.linears) {
    largest = std::max(largest, uint64_t{linear.out} * linear.in);
  }
  return kProgramBytes + threads * kBytesPerWeight * largest;
}

absl::Status CheckMemoryFor(const DirectoryPlan& plan, size_t threads) {
  return CheckThreadsMemory(NeededMemoryBytes(plan, threads), "converting", threads);
}

class DirectoryConversion {
 public:
  DirectoryConversion(const QuantizeRequest& request, const Conversion& conversion,
                      JobContext& context)
      : request_(request), conversion_(conversion), context_(context) {}

  absl::StatusOr<QuantizeResult> Run() {
    context_.progress.OnPhase(Phase::kProbe);
    context_.progress.OnMessage(StrCat("Loading model: ", request_.model_name));
    ASSIGN_OR_RETURN(folder_, FolderOf(request_, conversion_));
    ASSIGN_OR_RETURN(plan_, PlanOf(request_, conversion_, folder_));
    TellArchitecture(folder_.summary, context_.progress);
    TellLoaders();
    RETURN_IF_ERROR(CheckOutputFolders(request_));
    output_.emplace(request_, plan_, context_);
    ASSIGN_OR_RETURN(const std::optional<std::string> existing, output_->FindExisting());
    if (existing) {
      done_ = true;
      output_->RemoveLeftovers();
      return Result();
    }
    RETURN_IF_ERROR(CheckMemoryFor(plan_, context_.threads.size()));
    RETURN_IF_ERROR(
        CheckDisk(output_->MissingDiskBytes(), DeepestExisting(output_->folder().path())));
    const absl::Status status = Make();
    output_->CleanUp(status, /*may_be_wanted=*/false);
    RETURN_IF_ERROR(status);
    return Result();
  }

 private:
  // What an item came to.
  struct Written {
    uint64_t size_bytes = 0;
    double relative_error = 0;
  };

  // Which programs will not load the result; those that load it slowly are in its card.
  void TellLoaders() const {
    for (const LoaderNote& note : LoaderNotes(plan_.packed, plan_.linears, 1)) {
      if (note.verdict != Verdict::kRefuses) continue;
      context_.progress.OnWarning(StrCat(note.loader, " will not load the result: ", note.why));
    }
  }

  absl::Status Make() {
    const CheckpointOwner owner = {plan_.fingerprint, request_.model_name, plan_.level.name,
                                   plan_.output_path.string()};
    ASSIGN_OR_RETURN(const std::vector<CheckpointOptions> options,
                     OptionsOfEach(request_.checkpoint, std::span(&owner, 1)));
    RETURN_IF_ERROR(output_->Start(options[0]));
    context_.progress.OnPhase(Phase::kQuantize);
    context_.progress.OnMessage(StrCat("Converting to ", absl::AsciiStrToUpper(conversion_.to), " ",
                                       plan_.level.name, ", group size ", plan_.packed.group_size));
    RETURN_IF_ERROR(WriteUnits());
    context_.progress.OnPhase(Phase::kValidate);
    context_.progress.OnMessage("Validating output...");
    RETURN_IF_ERROR(WriteFiles());
    RETURN_IF_ERROR(output_->Validate());
    context_.progress.OnPhase(Phase::kPublish);
    return output_->Publish();
  }

  absl::Status WriteUnits() {
    std::vector<std::vector<Item>> units(plan_.units);
    for (const Item& item : ItemsOf(folder_)) units[item.unit].push_back(item);
    const size_t layers = plan_.units - 1, reused = output_->reused_units();
    reused_layers_ = reused == 0 ? 0 : reused - 1;
    context_.progress.OnProgress(reused_layers_, layers, "layers", 0);
    for (size_t unit = reused; unit < units.size(); ++unit) {
      RETURN_IF_ERROR(context_.CheckStopped());
      RETURN_IF_ERROR(WriteUnit(units[unit]));
      RETURN_IF_ERROR(output_->FinishUnit(unit));
      if (unit > 0) context_.progress.OnProgress(unit, layers, "layers", bytes_written_);
    }
    return absl::OkStatus();
  }

  // What is quantized anew takes all threads for itself; the rest is one item to a thread.
  absl::Status WriteUnit(const std::vector<Item>& items) {
    std::vector<absl::Status> statuses(items.size());
    std::vector<Written> written(items.size());
    const auto write = [&](size_t i) {
      statuses[i] = items[i].linear != nullptr ? WriteLinear(*items[i].linear, written[i])
                                               : WriteOther(*items[i].other, written[i]);
    };
    const auto is_anew = [&](size_t i) {
      return items[i].linear != nullptr && items[i].linear->is_anew;
    };
    context_.threads.ParallelFor(items.size(), [&](size_t i) {
      if (!is_anew(i)) write(i);
    });
    for (size_t i = 0; i < items.size(); ++i) {
      if (is_anew(i)) write(i);
    }
    for (size_t i = 0; i < items.size(); ++i) {
      RETURN_IF_ERROR(statuses[i]);
      error_sum_ += written[i].relative_error;
      bytes_written_ += written[i].size_bytes;
    }
    return absl::OkStatus();
  }

  absl::Status WriteLinear(const ConvertedFolder::Linear& linear, Written& written) {
    ASSIGN_OR_RETURN(const ConvertedLinear made, linear.make(context_.threads), << ModelPath());
    ASSIGN_OR_RETURN(written.size_bytes, output_->WriteLinear(linear.shape.name, made.linear));
    written.relative_error = made.relative_error;
    return absl::OkStatus();
  }

  // For messages.
  std::string ModelPath() const { return request_.model_path.string(); }

  absl::Status WriteOther(const CheckpointTensor& tensor, Written& written) {
    const uint64_t size_bytes = plan_.layout.tensors[plan_.index.at(tensor.name)].size_bytes;
    const uint64_t row_bytes =
        (tensor.shape.empty() ? 1 : tensor.shape.back()) * RowOf(tensor.dtype).size_bytes;
    const uint64_t piece =
        row_bytes == 0 ? size_bytes : std::max<uint64_t>(1, kBytesAtOnce / row_bytes) * row_bytes;
    std::vector<std::byte> bytes;
    for (uint64_t done = 0; done < size_bytes; done += bytes.size()) {
      bytes.resize(std::min(piece, size_bytes - done));
      RETURN_IF_ERROR(tensor.read(done, bytes)) << ModelPath();
      RETURN_IF_ERROR(CheckValues(tensor, bytes)) << ModelPath();
      RETURN_IF_ERROR(output_->WritePiece(tensor.name, done, bytes));
    }
    written.size_bytes = size_bytes;
    return absl::OkStatus();
  }

  // For the card.
  std::string WhatWasKept() const {
    if (conversion_.fidelity == Fidelity::kExact) return ", every weight kept";
    if (conversion_.fidelity == Fidelity::kRounded) {
      return ", quantized weights kept, others rounded to float16";
    }
    const size_t anew = conversion_.anew.size(), all = folder_.linears.size();
    if (anew == all) return ", its weights quantized anew";
    return StrCat(", weights of ", anew, " of ", all, " linears quantized anew, the others' kept");
  }

  absl::Status WriteFiles() {
    for (const HfFile& file : folder_.files) {
      RETURN_IF_ERROR(CreateDirectories((output_->part_path() / file.name).parent_path()));
      RETURN_IF_ERROR(output_->WriteFile(file.name, file.bytes));
    }
    DirectoryFiles files = {.companions_from = folder_.companions_from,
                            .companions = folder_.companions,
                            .config = folder_.config,
                            .source_card = folder_.card};
    files.card.title = folder_.summary.name;
    files.card.calibration = StrCat("None here: converted from ", conversion_.from, WhatWasKept());
    files.provenance = {{"source_fingerprint", folder_.fingerprint},
                        {"converted_from", conversion_.from},
                        {"fidelity", NameOf(conversion_.fidelity)}};
    return WriteDirectoryFiles(plan_, std::move(files), *output_);
  }

  QuantizeResult Result() const {
    QuantizeResult result = ResultOf(plan_);
    result.original_dtype = conversion_.from;
    result.original_size_bytes = folder_.summary.size_bytes;
    result.layers_processed = static_cast<uint32_t>(plan_.units - 1);
    result.units_reused = reused_layers_;
    result.already_done = done_;
    result.fidelity = NameOf(conversion_.fidelity);
    const size_t made = folder_.linears.size();
    // Measured as linears are made; of an output that was there, by the job that made it.
    const std::optional<QuantizeResult>& previous = request_.outputs[0].previous;
    if (done_ && previous && previous->fingerprint == plan_.fingerprint) {
      result.mean_module_error = previous->mean_module_error;
    } else if (!done_ && made > 0 && reused_layers_ == 0) {
      result.mean_module_error = error_sum_ / static_cast<double>(made);
    }
    return result;
  }

  const QuantizeRequest& request_;
  const Conversion& conversion_;
  JobContext& context_;
  ConvertedFolder folder_;
  DirectoryPlan plan_;
  std::optional<DirectoryOutput> output_;
  bool done_ = false;
  uint64_t reused_layers_ = 0, bytes_written_ = 0;
  double error_sum_ = 0;
};

}  // namespace

QuantizeOutcome ConvertToDirectory(const QuantizeRequest& request, const Conversion& conversion,
                                   JobContext& context) {
  QuantizeOutcome outcome;
  absl::StatusOr<QuantizeResult> result = DirectoryConversion(request, conversion, context).Run();
  outcome.status = result.status();
  if (result.ok()) outcome.finished.push_back(*std::move(result));
  return outcome;
}

absl::StatusOr<QuantizeForecast> ForecastConvertToDirectory(const QuantizeRequest& request,
                                                            const Conversion& conversion,
                                                            size_t threads) {
  ASSIGN_OR_RETURN(const ConvertedFolder folder, FolderOf(request, conversion));
  ASSIGN_OR_RETURN(const DirectoryPlan plan, PlanOf(request, conversion, folder));
  QuantizeForecast forecast;
  forecast.model = folder.summary;
  forecast.threads = threads;
  forecast.outputs.push_back(ForecastOf(plan));
  forecast.memory_needed_bytes = NeededMemoryBytes(plan, threads);
  forecast.memory_available_bytes = AvailableMemoryBytes();
  forecast.disk_needed_bytes = forecast.outputs[0].size_bytes;
  WarnOf(plan, forecast);
  forecast.conversion = ForecastOf(conversion);
  if (conversion.fidelity == Fidelity::kRequantized) {
    ASSIGN_OR_RETURN(forecast.conversion->relative_error, LossToFolder(folder, threads));
  }
  const fs::path target = DeepestExisting(plan.output_path.parent_path());
  ASSIGN_OR_RETURN(forecast.disk_free_bytes, FreeDiskBytes(target));
  for (const absl::Status& status : {CheckOutputFolders(request), CheckMemoryFor(plan, threads),
                                     CheckDisk(forecast.disk_needed_bytes, target)}) {
    if (!status.ok()) forecast.warnings.push_back(std::string(status.message()));
  }
  return forecast;
}

}  // namespace quantized
