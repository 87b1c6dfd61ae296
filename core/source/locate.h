// What kind of model lies at a path, found without reading more than a few bytes of it.
#pragma once

#include <filesystem>

#include "absl/status/statusor.h"

namespace quantized {

enum class ModelKind { kGgufFile, kHfDirectory };

struct LocatedModel {
  ModelKind kind = ModelKind::kHfDirectory;
  std::filesystem::path path;  // of the GGUF file (of a split model, its first) or the directory
};

// A directory is a Hugging Face model, unless it has neither config.json nor safetensors but GGUF
// files: then it stands for the one model that these hold. Errors: kModelNotFound (no such path, or
// a file that is no model; pickle files say why they are not read); kInvalidArgument for a path
// that does not say which model is meant (one file of a Hugging Face model, a folder of several
// GGUF models); kIo.
absl::StatusOr<LocatedModel> LocateModel(const std::filesystem::path& path);

}  // namespace quantized
