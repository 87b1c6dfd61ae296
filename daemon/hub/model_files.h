// Which of a repository's files a quantization needs.
//   - what describes the model: config.json and its like, README.md (its front matter becomes
//     metadata), what a quantized checkpoint takes over (core/base/companion_names.h), code at the
//     top of the repository, which is copied and never run, and how a sentence embedding pools.
//   - with safetensors weights: the index, and the shards that it names; without an index what
//     WeightsWithoutIndex takes (core/base/weight_names.h). Only those at the top of the repository
//     count.
//   - without, and with one GGUF model (one file, or the parts of one) at the top: that.
//   - never a pickle (*.bin, *.pt, *.pth), whatever else is missing.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "daemon/hub/remote_file.h"

namespace quantized {

// Of model.safetensors.index.json.
inline constexpr uint64_t kMaxIndexBytes = 64 << 20;

struct ModelFiles {
  // What describes the model: small, and fetched first.
  std::vector<RemoteFile> descriptions;
  // Safetensors or GGUF, sorted by name.
  std::vector<RemoteFile> weights;
  // The file that opens the model where it is one; else the model is the directory.
  std::string gguf;
};

// The index among `files`, if there is one: its text decides what ChooseModelFiles takes.
std::optional<RemoteFile> FindWeightIndex(std::span<const RemoteFile> files);

// `index` is the text of the index, where there is one. `model` is for messages. Errors:
// kModelNotFound when there is nothing to load, which names what is there instead, or several GGUF
// models; kValidationFailed for an index that is damaged or names what is not there.
absl::StatusOr<ModelFiles> ChooseModelFiles(std::string_view model,
                                            std::span<const RemoteFile> files,
                                            const std::optional<std::string>& index);

// The first few of `names`, printable, and how many more there are: "a, b and 3 more".
std::string FirstNames(const std::vector<std::string>& names, size_t shown = 5);

}  // namespace quantized
