#include "core/pipeline/output_guard.h"

#include <sys/stat.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_join.h"
#include "core/base/companion_names.h"
#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/gguf/split.h"
#include "core/pipeline/directory_output.h"
#include "core/pipeline/part_file.h"
#include "core/pipeline/quality.h"
#include "core/source/locate.h"

namespace quantized {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kSuggestion = "Give another --output-dir or --output-name";
constexpr std::string_view kConfigFile = "config.json";
constexpr std::string_view kModel = "the model that it is made from";

absl::Status Refuse(std::string_view message, std::string_view suggestion = kSuggestion) {
  return MakeError(Error::kInvalidArgument, message, suggestion);
}

using FileId = std::pair<dev_t, ino_t>;

// Of what `path` leads to; nothing where that is nothing.
std::optional<FileId> IdOf(const fs::path& path) {
  struct stat found = {};
  if (::stat(path.c_str(), &found) != 0) return std::nullopt;
  return FileId(found.st_dev, found.st_ino);
}

// `path`, the folder around it, and so on up to the root.
std::vector<fs::path> WithFolders(fs::path path) {
  std::vector<fs::path> paths = {path};
  for (; path != path.parent_path(); paths.push_back(path)) path = path.parent_path();
  return paths;
}

bool BeginsAsGguf(const fs::path& path) {
  constexpr std::string_view kMagic = "GGUF";
  const absl::StatusOr<File> file = File::OpenForRead(path);
  std::string start(kMagic.size(), '\0');
  return file.ok() && file->ReadAt(0, std::as_writable_bytes(std::span(start))).ok() &&
         start == kMagic;
}

absl::Status CheckReplaceableFile(const fs::path& path) {
  std::error_code ignored;
  if (absl::AsciiStrToLower(path.extension().string()) == ".gguf") return absl::OkStatus();
  if (fs::file_size(path, ignored) == 0 || BeginsAsGguf(path)) return absl::OkStatus();
  return Refuse(StrCat("the output ", path.string(), " is a file there that is no GGUF model"));
}

absl::Status CheckReplaceableFolder(const fs::path& path) {
  std::error_code error;
  std::vector<std::string> names;
  for (fs::directory_iterator entry(path, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string name = entry->path().filename();
    std::error_code ignored;
    const bool marks_model = name == kProvenanceFile || name == kConfigFile;
    if (marks_model && fs::is_regular_file(entry->path(), ignored)) return absl::OkStatus();
    names.push_back(name);
  }
  if (error) return ErrnoError(error.value(), "list", path.string());
  if (names.empty()) return absl::OkStatus();
  constexpr size_t kShown = 3;
  std::sort(names.begin(), names.end());
  const auto shown = std::span(names).first(std::min(names.size(), kShown));
  return Refuse(StrCat("the output ", path.string(),
                       " is a folder there that is no model: it has no ", kConfigFile, ", but ",
                       absl::StrJoin(shown, ", "), names.size() > kShown ? ", ..." : ""));
}

// What a job reads.
class Inputs {
 public:
  static absl::StatusOr<Inputs> Of(const QuantizeRequest& request) {
    Inputs inputs;
    ASSIGN_OR_RETURN(const LocatedModel located, LocateModel(request.model_path));
    inputs.Add(request.model_path, kModel);
    inputs.Add(located.path, kModel);
    if (located.kind == ModelKind::kHfDirectory) {
      RETURN_IF_ERROR(inputs.AddFilesOf(located.path));
    } else {
      inputs.AddSplitFilesOf(located.path);
    }
    if (!request.calibration.data.empty())
      inputs.Add(request.calibration.data, "the calibration data");
    for (const fs::path& matrix : request.gguf.imatrix_paths) {
      inputs.Add(matrix, "an importance matrix that is read");
    }
    return inputs;
  }

  // Whether all inputs stay as they are when something else gets the name `path`. `who` begins the
  // message: "the output /a/b".
  absl::Status CheckSpared(const fs::path& path, std::string_view who,
                           std::string_view suggestion = kSuggestion) const {
    const std::optional<FileId> id = IdOf(path);
    const auto found = id ? places_.find(*id) : places_.end();
    if (found == places_.end()) return absl::OkStatus();
    const Place& place = found->second;
    const std::string lost = place.input == path ? std::string(place.what)
                                                 : StrCat(place.what, ": ", place.input.string());
    return Refuse(
        StrCat(who, " would replace ", place.is_around ? "a folder that holds " : "", lost),
        suggestion);
  }

  // Replacing a folder in the model's folder changes the model, unless an earlier job left it
  // there.
  absl::Status CheckFolderInModel(const fs::path& path) const {
    std::error_code ignored;
    if (!model_folder_ || !fs::is_directory(path, ignored) || fs::is_empty(path, ignored) ||
        Exists(path / kProvenanceFile)) {
      return absl::OkStatus();
    }
    for (const fs::path& folder : WithFolders(fs::weakly_canonical(path, ignored))) {
      if (IdOf(folder) != model_folder_) continue;
      return Refuse(StrCat("the output ", path.string(), " would replace a folder of ", kModel));
    }
    return absl::OkStatus();
  }

 private:
  struct Place {
    fs::path input;         // as it was given
    std::string_view what;  // a literal
    bool is_around = false;
  };

  // The input, the folders on the way to it, and the same of what it leads to, link by link.
  void Add(const fs::path& input, std::string_view what) {
    constexpr int kMaxLinks = 40;  // more of them the system does not follow either
    std::error_code error;
    fs::path path = fs::absolute(input);
    for (int links = 0; links < kMaxLinks; ++links) {
      AddPlaces(path, input, what);
      if (!fs::is_symlink(path, error)) break;
      path = path.parent_path() / fs::read_symlink(path, error);
    }
    path = fs::canonical(input, error);
    if (!error) AddPlaces(path, input, what);
  }

  void AddPlaces(const fs::path& path, const fs::path& input, std::string_view what) {
    for (const fs::path& place : WithFolders(path)) {
      if (!seen_.insert(place).second) break;
      if (const auto id = IdOf(place)) places_.try_emplace(*id, Place{input, what, place != path});
    }
  }

  // Those that are read. Others in the folder may be outputs of earlier jobs.
  absl::Status AddFilesOf(const fs::path& folder) {
    model_folder_ = IdOf(folder);
    std::error_code error;
    for (fs::directory_iterator entry(folder, error), end; !error && entry != end;
         entry.increment(error)) {
      const std::string name = entry->path().filename();
      if (name == kConfigFile || name == "README.md" || name.ends_with(".safetensors") ||
          name.ends_with(".safetensors.index.json") || IsCompanionName(name)) {
        Add(entry->path(), kModel);
      }
    }
    if (error) return ErrnoError(error.value(), "list", folder.string());
    return absl::OkStatus();
  }

  void AddSplitFilesOf(const fs::path& file) {
    auto name = gguf::ParseSplitName(file.filename().string());
    if (!name) return;
    for (name->number = 1; name->number <= name->count; ++name->number) {
      const fs::path part = file.parent_path() / gguf::FormatSplitName(*name);
      if (IdOf(part)) Add(part, kModel);
    }
  }

  std::map<FileId, Place> places_;
  std::set<fs::path> seen_;
  std::optional<FileId> model_folder_;  // of a Hugging Face model
};

absl::Status CheckOutput(const Inputs& inputs, const fs::path& path, OutputKind kind) {
  const std::string who = StrCat("the output ", path.string());
  RETURN_IF_ERROR(inputs.CheckSpared(path, who));
  const fs::path part = PartPath(path);
  RETURN_IF_ERROR(inputs.CheckSpared(part, StrCat(who, ", written as ", part.string(), " first,")));
  if (kind == OutputKind::kFolder) {
    RETURN_IF_ERROR(inputs.CheckFolderInModel(path));
  }
  RETURN_IF_ERROR(CheckWritable(fs::absolute(path).parent_path()));
  return CheckReplaceable(path, kind);
}

bool IsImportanceFile(const fs::path& path) {
  GgufOptions options;
  options.imatrix_paths = {path};
  return ReadImportance(options).ok();
}

absl::Status CheckMatrix(const Inputs& inputs, const QuantizeRequest& request) {
  const fs::path& matrix = request.gguf.imatrix_out;
  if (matrix.empty()) return absl::OkStatus();
  const std::string who = StrCat("--imatrix-out: ", matrix.string());
  if (request.overwrite) {
    RETURN_IF_ERROR(inputs.CheckSpared(matrix, who, "Give another name"));
  }
  std::error_code ignored;
  if (fs::is_directory(matrix, ignored)) {
    return Refuse(StrCat(who, " is a folder"), "Give another name");
  }
  // A matrix there may be the very one that comes out: an earlier attempt left it.
  if (!request.overwrite && Exists(matrix) && !IsImportanceFile(matrix)) {
    return MatrixIsThere(matrix);
  }
  return CheckWritable(fs::absolute(matrix).parent_path());
}

absl::Status CheckReports(const Inputs& inputs, const QuantizeRequest& request) {
  if (!request.quality.report) return absl::OkStatus();
  for (const OutputRequest& output : request.outputs) {
    for (const std::string_view suffix : kReportSuffixes) {
      const fs::path path = ReportPath(fs::absolute(output.path), suffix);
      RETURN_IF_ERROR(inputs.CheckSpared(path, StrCat("the report ", path.string())));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status MatrixIsThere(const fs::path& path) {
  return MakeError(Error::kInvalidArgument,
                   StrCat("--imatrix-out: ", path.string(), " exists already"),
                   "Give another name, or --overwrite to replace it");
}

absl::Status CheckReplaceable(const fs::path& path, OutputKind kind) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  const bool is_folder = fs::is_directory(status);
  const std::string who = StrCat("the output ", path.string());
  if (status.type() == fs::file_type::not_found) {
    // A file takes the name of a link, a folder cannot.
    if (kind == OutputKind::kFile || !fs::is_symlink(path, error)) return absl::OkStatus();
    return Refuse(StrCat(who, " is a link there that leads to nothing"));
  }
  if (error) return ErrnoError(error.value(), "look at", path.string());
  if (!is_folder && !fs::is_regular_file(status)) {
    return Refuse(StrCat(who, " is neither a file nor a folder there"));
  }
  if (kind == OutputKind::kFile) {
    if (is_folder) return Refuse(StrCat(who, " is a folder there, and gguf makes a file"));
    return CheckReplaceableFile(path);
  }
  if (!is_folder) return Refuse(StrCat(who, " is a file there, and awq and gptq make a folder"));
  return CheckReplaceableFolder(path);
}

absl::Status CheckOutputFiles(const QuantizeRequest& request, std::span<const QuantizePlan> plans) {
  ASSIGN_OR_RETURN(const Inputs inputs, Inputs::Of(request));
  for (const QuantizePlan& plan : plans) {
    for (const OutputFile& file : plan.files) {
      RETURN_IF_ERROR(CheckOutput(inputs, file.path, OutputKind::kFile));
    }
  }
  RETURN_IF_ERROR(CheckMatrix(inputs, request));
  return CheckReports(inputs, request);
}

absl::Status CheckOutputFolders(const QuantizeRequest& request) {
  ASSIGN_OR_RETURN(const Inputs inputs, Inputs::Of(request));
  for (const OutputRequest& output : request.outputs) {
    RETURN_IF_ERROR(
        CheckOutput(inputs, fs::absolute(output.path).lexically_normal(), OutputKind::kFolder));
  }
  return CheckReports(inputs, request);
}

}  // namespace quantized
