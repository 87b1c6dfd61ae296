#include "core/pipeline/directory_output.h"

#include <algorithm>
#include <functional>
#include <system_error>

#include "absl/strings/ascii.h"
#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/sha256.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/packed/awq.h"
#include "core/packed/companion_files.h"
#include "core/packed/gptq.h"
#include "core/packed/reader.h"
#include "core/pipeline/for_each.h"
#include "core/pipeline/output_guard.h"
#include "core/pipeline/part_file.h"
#include "core/pipeline/replace_folder.h"
#include "core/pipeline/walk_snapshot.h"
#include "core/source/hf_weights.h"
#include "core/source/weights_store.h"
#include "xxhash.h"

namespace quantized {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMaxProvenanceBytes = 64 << 20;
constexpr size_t kReadBytes = 4 << 20;

// In OUTPUT.part while it is one: whose it is.
constexpr char kOwnerFile[] = ".job";
constexpr uint64_t kMaxOwnerBytes = 1 << 10;

// What a unit is to people.
std::string NameOfUnit(size_t unit) {
  return unit == 0 ? std::string("what lies outside the layers") : StrCat("layer ", unit - 1);
}

using UnitHash = std::unique_ptr<XXH3_state_t, decltype(&XXH3_freeState)>;

UnitHash StartHash() {
  UnitHash hash(XXH3_createState(), &XXH3_freeState);
  XXH3_64bits_reset(hash.get());
  return hash;
}

// Hands out bytes of a file, some at a time.
absl::Status ReadPieces(const File& file, uint64_t offset, uint64_t size_bytes,
                        const std::function<void(std::span<const std::byte>)>& take) {
  std::vector<std::byte> bytes;
  for (uint64_t done = 0; done < size_bytes; done += bytes.size()) {
    bytes.resize(std::min<uint64_t>(kReadBytes, size_bytes - done));
    RETURN_IF_ERROR(file.ReadAt(offset + done, bytes));
    take(bytes);
  }
  return absl::OkStatus();
}

}  // namespace

DirectoryOutput::DirectoryOutput(const QuantizeRequest& request, const DirectoryPlan& plan,
                                 JobContext& context)
    : request_(request),
      plan_(plan),
      context_(context),
      owner_{plan.fingerprint, request.model_name, plan.level.name, plan.output_path.string()},
      folder_(plan.output_path.parent_path()),
      checkpoint_options_(request.checkpoint),
      hashes_(plan.units, 0) {}

fs::path DirectoryOutput::part_path() const { return PartPath(plan_.output_path); }

absl::StatusOr<std::optional<std::string>> DirectoryOutput::FindExisting() {
  if (!Exists(plan_.output_path)) return std::nullopt;
  std::string change;
  if (!request_.overwrite || request_.retried) {
    const auto text = ReadFile(plan_.output_path / kProvenanceFile, kMaxProvenanceBytes);
    const auto json = text.ok() ? nlohmann::json::parse(*text, nullptr, false) : nlohmann::json();
    if (json.is_object() && json.value("fingerprint", nlohmann::json()) == plan_.fingerprint) {
      const absl::Status status =
          CheckFileList(plan_.output_path, json.value("files", nlohmann::json()), context_);
      if (status.ok()) return *text;
      if (ErrorOf(status) != Error::kValidationFailed) return status;
      change = std::string(status.message());
    }
  }
  if (request_.overwrite) return std::nullopt;
  return OutputIsThere(plan_.output_path, change);
}

void DirectoryOutput::RemoveLeftovers() {
  if (!request_.checkpoint.enabled) return;
  const absl::StatusOr<fs::path> folder = LocateCheckpoint(request_.checkpoint, owner_);
  if (!folder.ok() || !Exists(*folder)) return;
  // Where an output was replaced, the old one has the part's name now, or that of what was moved
  // aside. Another process that is at work there is of another job: this one's is done.
  if (request_.overwrite) {
    RemoveAll(part_path()).IgnoreError();
    RemoveAll(ReplacedPath(part_path())).IgnoreError();
  }
  if (!Exists(part_path())) RemoveCheckpoint(*folder).IgnoreError();
}

// What is in OUTPUT.part of another job, whose output it would become part of.
absl::Status DirectoryOutput::RemoveForeignFiles() const {
  std::error_code error;
  std::vector<fs::path> foreign;
  for (fs::directory_iterator it(part_path(), error), end; !error && it != end;
       it.increment(error)) {
    const bool stays = it->path().filename() == kOwnerFile ||
                       std::ranges::any_of(plan_.layout.files, [&](const auto& file) {
                         return it->path().filename() == file.name;
                       });
    if (!stays) foreign.push_back(it->path());
  }
  if (error) return ErrnoError(error.value(), "list", part_path().string());
  for (const fs::path& path : foreign) RETURN_IF_ERROR(RemoveAll(path));
  return absl::OkStatus();
}

// The fingerprint of the job that OUTPUT.part is of; empty where it does not say.
std::string DirectoryOutput::PartOwner() const {
  const absl::StatusOr<std::string> text = ReadFile(part_path() / kOwnerFile, kMaxOwnerBytes);
  return text.ok() ? std::string(absl::StripAsciiWhitespace(*text)) : "";
}

fs::path DirectoryOutput::walk_path() const {
  return checkpoint_ == nullptr ? "" : checkpoint_folder_ / kSavedWalkFile;
}

uint64_t DirectoryOutput::MissingDiskBytes() const {
  uint64_t missing = 0;
  for (const safetensors::PlannedFile& file : plan_.layout.files) {
    missing += MissingBytes(part_path() / file.name, file.size_bytes);
  }
  return missing;
}

absl::Status DirectoryOutput::Start(const CheckpointOptions& options) {
  checkpoint_options_ = options;
  if (options.enabled) {
    ASSIGN_OR_RETURN(checkpoint_folder_, LocateCheckpoint(options, owner_));
  }
  RETURN_IF_ERROR(folder_.Create());
  RETURN_IF_ERROR(CreateDirectories(part_path()));
  for (const safetensors::PlannedFile& file : plan_.layout.files) {
    ASSIGN_OR_RETURN(File opened, OpenLocked(part_path() / file.name, context_));
    files_.push_back(std::move(opened));
  }
  const std::string owner = PartOwner();
  const bool is_foreign = !owner.empty() && owner != plan_.fingerprint;
  std::vector<UnitRecord> kept;
  if (options.enabled) {
    RETURN_IF_ERROR(TakeOver(is_foreign, kept));
  }
  part_is_ours_ = true;
  if (is_foreign) {
    context_.progress.OnWarning(StrCat(part_path().string(), ", the unfinished output of another ",
                                       "job (fingerprint ", owner.substr(0, 12),
                                       "), is replaced: that job will start anew"));
  }
  // Before the first byte of that goes.
  if (owner != plan_.fingerprint) {
    RETURN_IF_ERROR(WriteFile(kOwnerFile, plan_.fingerprint + "\n"));
  }
  if (kept.empty()) {
    RETURN_IF_ERROR(RemoveForeignFiles());
  }
  for (size_t i = 0; i < files_.size(); ++i) {
    const safetensors::PlannedFile& file = plan_.layout.files[i];
    if (kept.empty()) {
      RETURN_IF_ERROR(files_[i].Truncate(0));
    }
    RETURN_IF_ERROR(files_[i].Allocate(file.size_bytes));
    RETURN_IF_ERROR(files_[i].WriteAt(0, std::as_bytes(std::span(file.header))));
  }
  if (!plan_.layout.index.empty()) {
    RETURN_IF_ERROR(WriteFile(safetensors::kIndexFileName, plan_.layout.index));
  }
  if (!options.enabled) return absl::OkStatus();
  RemoveStaleCheckpoints(checkpoint_folder_, owner_);
  ASSIGN_OR_RETURN(
      checkpoint_,
      Checkpoint::Start(checkpoint_folder_, owner_, kept, files_, [this](uint64_t units) {
        context_.progress.OnCheckpoint(units, checkpoint_folder_);
      }));
  return absl::OkStatus();
}

// The units of the checkpoint that can be used: the walk goes layer by layer, so those before the
// first that is missing.
absl::Status DirectoryOutput::TakeOver(bool is_foreign, std::vector<UnitRecord>& kept) {
  ASSIGN_OR_RETURN(const std::optional<JournalContents> found,
                   LoadCheckpoint(checkpoint_folder_, owner_));
  if (!found || found->units.empty()) return absl::OkStatus();
  const auto damaged = [&](const std::string& what) {
    return MakeError(
        Error::kCheckpoint,
        StrCat(part_path().string(), ": ", what, " (checkpoint ", checkpoint_folder_.string(), ")"),
        "Remove the checkpoint folder to start anew");
  };
  const auto start_anew = [&](const std::string& why) {
    context_.progress.OnWarning(StrCat("the checkpoint ", checkpoint_folder_.string(), " lists ",
                                       found->units.size() - 1, " finished layers, but ", why,
                                       "; starting anew"));
    return absl::OkStatus();
  };
  const bool may_start_anew = checkpoint_options_.resume_from.empty();
  if (is_foreign) {
    if (may_start_anew) return start_anew("another job has begun to write over them since");
    return damaged("another job has begun to write over it since");
  }
  for (size_t i = 0; i < files_.size(); ++i) {
    ASSIGN_OR_RETURN(const uint64_t bytes, files_[i].SizeBytes());
    if (bytes == plan_.layout.files[i].size_bytes) continue;
    if (bytes == 0 && may_start_anew) {
      return start_anew(StrCat(files_[i].path().string(), ", which held them, is gone"));
    }
    return damaged(StrCat(files_[i].path().filename().string(), " has ", bytes, " bytes, expected ",
                          plan_.layout.files[i].size_bytes));
  }
  for (size_t i = 0; i < found->units.size(); ++i) {
    const UnitRecord& unit = found->units[i];
    if (unit.index != i || i >= plan_.units || unit.size_bytes != UnitBytes(i)) {
      return damaged(StrCat("the journal's unit ", unit.index, " is not planned"));
    }
    RETURN_IF_ERROR(context_.CheckStopped());
    ASSIGN_OR_RETURN(const uint64_t hash, HashOfUnit(i));
    if (hash != unit.hash) {
      if (i < found->synced_units) {
        return damaged(StrCat(NameOfUnit(i), " is not what the checkpoint says"));
      }
      break;
    }
    hashes_[i] = hash;
    kept.push_back(unit);
  }
  reused_units_ = kept.size();
  return absl::OkStatus();
}

uint64_t DirectoryOutput::UnitBytes(size_t unit) const {
  uint64_t bytes = 0;
  for (size_t i = 0; i < plan_.tensors.size(); ++i) {
    if (plan_.unit_of[i] == unit) bytes += plan_.layout.tensors[i].size_bytes;
  }
  return bytes;
}

// XXH3 of the bytes of its tensors, in the order of the plan, as they are in the files.
absl::StatusOr<uint64_t> DirectoryOutput::HashOfUnit(size_t unit) const {
  const UnitHash hash = StartHash();
  for (size_t i = 0; i < plan_.tensors.size(); ++i) {
    if (plan_.unit_of[i] != unit) continue;
    const auto& place = plan_.layout.tensors[i];
    RETURN_IF_ERROR(ReadPieces(files_[place.file], place.offset, place.size_bytes,
                               [&](std::span<const std::byte> bytes) {
                                 XXH3_64bits_update(hash.get(), bytes.data(), bytes.size());
                               }));
  }
  return XXH3_64bits_digest(hash.get());
}

absl::Status DirectoryOutput::CheckHash(size_t unit, uint64_t found) const {
  if (found == hashes_[unit]) return absl::OkStatus();
  return MakeError(Error::kValidationFailed, StrCat(part_path().string(), ": ", NameOfUnit(unit),
                                                    " is not what was written"));
}

// Whether the unit's tensors lie in several files.
bool DirectoryOutput::IsSplit(size_t unit) const {
  const std::vector<size_t>& units = plan_.unit_of;
  const auto [begin, end] = std::equal_range(units.begin(), units.end(), unit);
  if (begin == end) return false;
  const auto& first = plan_.layout.tensors[static_cast<size_t>(begin - units.begin())];
  const auto& last = plan_.layout.tensors[static_cast<size_t>(end - units.begin()) - 1];
  return first.file != last.file;
}

// Of a file of weights, which is read once: its digest, and whether the units that lie in it
// wholly are what was written.
absl::StatusOr<FileDigest> DirectoryOutput::ReadBack(size_t file) const {
  const safetensors::PlannedFile& planned = plan_.layout.files[file];
  Sha256 digest;
  const UnitHash hash = StartHash();
  RETURN_IF_ERROR(ReadPieces(files_[file], 0, planned.header.size(),
                             [&](std::span<const std::byte> bytes) { digest.Update(bytes); }));
  const auto take = [&](std::span<const std::byte> bytes) {
    digest.Update(bytes);
    XXH3_64bits_update(hash.get(), bytes.data(), bytes.size());
  };
  bool begins_here = false;
  const size_t end = planned.first_tensor + planned.tensor_count;
  for (size_t i = planned.first_tensor; i < end; ++i) {
    RETURN_IF_ERROR(context_.CheckStopped());
    const size_t unit = plan_.unit_of[i];
    if (i == 0 || plan_.unit_of[i - 1] != unit) {
      begins_here = true;
      XXH3_64bits_reset(hash.get());
    }
    const auto& place = plan_.layout.tensors[i];
    RETURN_IF_ERROR(ReadPieces(files_[file], place.offset, place.size_bytes, take));
    const bool ends = i + 1 == plan_.unit_of.size() || plan_.unit_of[i + 1] != unit;
    if (begins_here && ends) {
      RETURN_IF_ERROR(CheckHash(unit, XXH3_64bits_digest(hash.get())));
    }
  }
  return FileDigest{planned.size_bytes, digest.HexDigest()};
}

absl::Status DirectoryOutput::Write(const std::string& name, std::span<const std::byte> bytes) {
  const auto found = plan_.index.find(name);
  if (found == plan_.index.end() ||
      plan_.layout.tensors[found->second].size_bytes != bytes.size()) {
    return MakeError(Error::kInternal,
                     StrCat("tensor ", name, " of ", bytes.size(), " bytes is not planned"));
  }
  return WritePiece(name, 0, bytes);
}

absl::Status DirectoryOutput::WritePiece(const std::string& name, uint64_t first_byte,
                                         std::span<const std::byte> bytes) {
  const auto found = plan_.index.find(name);
  CHECK(found != plan_.index.end());
  const auto& place = plan_.layout.tensors[found->second];
  CHECK(first_byte <= place.size_bytes && bytes.size() <= place.size_bytes - first_byte);
  return files_[place.file].WriteAt(place.offset + first_byte, bytes);
}

absl::StatusOr<uint64_t> DirectoryOutput::WriteLinear(const std::string& module,
                                                      const QuantizedLinear& linear) {
  ASSIGN_OR_RETURN(const std::vector<PackedTensor> parts,
                   plan_.method == PackedMethod::kAwq
                       ? PackAwq(module, linear)
                       : PackGptq(module, linear, plan_.packed.version));
  uint64_t size_bytes = 0;
  for (const PackedTensor& part : parts) {
    RETURN_IF_ERROR(Write(StrCat(module, ".", part.shape.suffix), part.bytes));
    size_bytes += part.bytes.size();
  }
  return size_bytes;
}

absl::Status DirectoryOutput::FinishUnit(size_t unit) {
  ASSIGN_OR_RETURN(hashes_[unit], HashOfUnit(unit));
  if (!checkpoint_) return absl::OkStatus();
  return checkpoint_->Append({unit, 0, UnitBytes(unit), hashes_[unit]});
}

absl::Status DirectoryOutput::WriteFile(std::string_view name, std::string_view text) {
  RETURN_IF_ERROR(WriteFileAtomically(part_path() / name, text));
  if (!name.starts_with('.') && name != kCardFile) beside_.emplace(name);
  return absl::OkStatus();
}

absl::Status DirectoryOutput::CopyFiles(const fs::path& from,
                                        const std::vector<std::string>& names) {
  RETURN_IF_ERROR(quantized::CopyFiles(from, part_path(), names));
  beside_.insert(names.begin(), names.end());
  return absl::OkStatus();
}

absl::Status DirectoryOutput::Validate() {
  if (checkpoint_) {
    RETURN_IF_ERROR(checkpoint_->Sync());
  }
  ASSIGN_OR_RETURN(const HfConfig config, HfConfig::Read(part_path()));
  ASSIGN_OR_RETURN(const std::optional<PackedScheme> scheme, PackedSchemeOf(config));
  if (!scheme || scheme->method != plan_.method) {
    return MakeError(Error::kValidationFailed,
                     StrCat(part_path().string(), "/config.json: quantization_config is not that ",
                            "of ", NameOf(plan_.method)));
  }
  ASSIGN_OR_RETURN(const auto weights, HfWeights::Open(part_path()));
  const WeightsStore store(*weights);
  ASSIGN_OR_RETURN(const std::vector<PackedModule> modules, ListPackedModules(*scheme, store));
  if (modules.size() != plan_.linears.size()) {
    return MakeError(Error::kValidationFailed,
                     StrCat(part_path().string(), ": found ", modules.size(),
                            " packed linears, expected ", plan_.linears.size()));
  }

  // All in one go, the longest first: a digest takes a file of weights from end to end, and would
  // leave the other threads idle.
  FileList list;
  std::vector<std::function<absl::Status()>> checks;
  for (size_t file = 0; file < files_.size(); ++file) {
    checks.push_back([this, file, &digest = list[plan_.layout.files[file].name]]() -> absl::Status {
      ASSIGN_OR_RETURN(digest, ReadBack(file));
      return absl::OkStatus();
    });
  }
  for (size_t unit = 0; unit < plan_.units; ++unit) {
    if (!IsSplit(unit)) continue;
    checks.push_back([this, unit]() -> absl::Status {
      ASSIGN_OR_RETURN(const uint64_t hash, HashOfUnit(unit));
      return CheckHash(unit, hash);
    });
  }
  for (const std::string& name : beside_) {
    checks.push_back([this, &name, &digest = list[name]]() -> absl::Status {
      ASSIGN_OR_RETURN(digest, DigestOf(part_path() / name, context_));
      return absl::OkStatus();
    });
  }
  for (const PackedModule& module : modules) {
    checks.push_back([&] { return LoadPackedModule(*scheme, store, module).status(); });
  }
  const auto check = [&](size_t i) -> absl::Status {
    RETURN_IF_ERROR(context_.CheckStopped());
    return checks[i]();
  };
  RETURN_IF_ERROR(ForEach(checks.size(), context_.threads, check));

  provenance_["files"] = FileListToJson(list);
  return WriteFileAtomically(
      part_path() / kProvenanceFile,
      provenance_.dump(1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
}

absl::Status DirectoryOutput::Publish() {
  RETURN_IF_ERROR(context_.CheckStopped());
  if (Exists(plan_.output_path) && !request_.overwrite) {
    return MakeError(
        Error::kInvalidArgument,
        StrCat("the output ", plan_.output_path.string(), " has appeared while it was made"),
        "Use --overwrite to replace it, or choose another name");
  }
  // It may have changed while the output was made.
  RETURN_IF_ERROR(CheckReplaceable(plan_.output_path, OutputKind::kFolder));
  for (File& file : files_) RETURN_IF_ERROR(file.Sync());
  RETURN_IF_ERROR(RemoveAll(part_path() / kOwnerFile));
  RETURN_IF_ERROR(SyncDirectory(part_path()));
  RETURN_IF_ERROR(ReplaceFolder(part_path(), plan_.output_path));
  if (!checkpoint_) return absl::OkStatus();
  checkpoint_.reset();
  // The output stands: a checkpoint that stays beside it is no reason to fail.
  if (const absl::Status status = RemoveCheckpoint(checkpoint_folder_); !status.ok()) {
    context_.progress.OnWarning(std::string(status.message()));
  }
  return absl::OkStatus();
}

void DirectoryOutput::CleanUp(const absl::Status& status, bool may_be_wanted) {
  if (status.ok() || !part_is_ours_) return;
  const bool resumable = checkpoint_ != nullptr;
  if (resumable && (may_be_wanted || ErrorOf(status) != Error::kValidationFailed)) {
    checkpoint_->Sync().IgnoreError();
    return;
  }
  if (resumable) {
    checkpoint_.reset();
    RemoveCheckpoint(checkpoint_folder_).IgnoreError();
  }
  RemoveAll(part_path()).IgnoreError();
  folder_.RemoveCreated();
}

}  // namespace quantized
