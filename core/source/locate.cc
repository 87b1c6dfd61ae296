#include "core/source/locate.h"

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "absl/strings/str_join.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/gguf/split.h"
#include "core/tensor/byte_source.h"

namespace quantized {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kGgufMagic = "GGUF";
constexpr std::array<std::string_view, 4> kPickleSuffixes = {".bin", ".pt", ".pth", ".ckpt"};

std::string Quoted(const fs::path& path) { return StrCat("'", path.string(), "'"); }

bool Contains(std::span<const std::string_view> list, std::string_view item) {
  return std::find(list.begin(), list.end(), item) != list.end();
}

absl::StatusOr<bool> BeginsAsGguf(const fs::path& path) {
  ASSIGN_OR_RETURN(const std::unique_ptr<ByteSource> bytes, OpenFileBytes(path));
  std::array<char, kGgufMagic.size()> start;
  if (bytes->size_bytes() < start.size()) return false;
  RETURN_IF_ERROR(bytes->ReadAt(0, std::as_writable_bytes(std::span(start))));
  return std::string_view(start.data(), start.size()) == kGgufMagic;
}

absl::StatusOr<LocatedModel> LocateFile(const fs::path& path) {
  const std::string suffix = path.extension().string();
  // A damaged file of this name gets its message from the reader.
  if (suffix == ".gguf") return LocatedModel{ModelKind::kGgufFile, path};
  if (Contains(kPickleSuffixes, suffix)) {
    return MakeError(Error::kModelNotFound,
                     StrCat("Model ", Quoted(path),
                            " is a pickle file, which is not read because it can run code"),
                     "Convert the weights to safetensors and give the model's folder");
  }
  if (suffix == ".safetensors" || suffix == ".json") {
    return MakeError(Error::kInvalidArgument,
                     StrCat("Model ", Quoted(path), " is one file of a model"),
                     StrCat("Give the folder: ", Quoted(path.parent_path())));
  }
  ASSIGN_OR_RETURN(const bool is_gguf, BeginsAsGguf(path));
  if (is_gguf) return LocatedModel{ModelKind::kGgufFile, path};
  return MakeError(Error::kModelNotFound,
                   StrCat("Model ", Quoted(path), " is neither a GGUF file nor a model's folder"),
                   "Give a GGUF file, or a folder with config.json and safetensors files");
}

struct DirectoryListing {
  bool has_hf_files = false;
  std::vector<fs::path> gguf_models;  // of a split model, the first file; sorted
};

absl::StatusOr<DirectoryListing> ListModels(const fs::path& directory) {
  DirectoryListing listing;
  std::error_code error;
  for (fs::directory_iterator entry(directory, error), end; !error && entry != end;
       entry.increment(error)) {
    const fs::path& path = entry->path();
    const std::string name = path.filename().string();
    if (name == "config.json" || path.extension() == ".safetensors") listing.has_hf_files = true;
    if (path.extension() != ".gguf") continue;
    const auto split = gguf::ParseSplitName(name);
    if (!split || split->number == 1) listing.gguf_models.push_back(path);
  }
  if (error) return ErrnoError(error.value(), "list", directory.string());
  std::sort(listing.gguf_models.begin(), listing.gguf_models.end());
  return listing;
}

absl::StatusOr<LocatedModel> LocateDirectory(const fs::path& path) {
  ASSIGN_OR_RETURN(const DirectoryListing listing, ListModels(path));
  // An empty folder, too: the Hugging Face reader says what it missed.
  if (listing.has_hf_files || listing.gguf_models.empty()) {
    return LocatedModel{ModelKind::kHfDirectory, path};
  }
  if (listing.gguf_models.size() == 1) {
    return LocatedModel{ModelKind::kGgufFile, listing.gguf_models[0]};
  }
  constexpr size_t kShown = 3;
  std::vector<std::string> names;
  for (const fs::path& model :
       std::span(listing.gguf_models).first(std::min(listing.gguf_models.size(), kShown))) {
    names.push_back(model.filename().string());
  }
  return MakeError(Error::kInvalidArgument,
                   StrCat("Model ", Quoted(path), " is a folder with ", listing.gguf_models.size(),
                          " GGUF models: ", absl::StrJoin(names, ", "),
                          names.size() < listing.gguf_models.size() ? ", ..." : ""),
                   StrCat("Give one of the files, for example ", Quoted(listing.gguf_models[0])));
}

}  // namespace

absl::StatusOr<LocatedModel> LocateModel(const fs::path& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (status.type() == fs::file_type::not_found) {
    return MakeError(Error::kModelNotFound,
                     StrCat("Model ", Quoted(path), " not found: no such file or folder"),
                     "Check the model name or provide a local path");
  }
  if (error) return ErrnoError(error.value(), "open", path.string());
  if (fs::is_directory(status)) return LocateDirectory(path);
  if (fs::is_regular_file(status)) return LocateFile(path);
  return MakeError(Error::kModelNotFound,
                   StrCat("Model ", Quoted(path), " is neither a file nor a folder"),
                   "Give a GGUF file, or a folder with config.json and safetensors files");
}

}  // namespace quantized
