// Which files of a Hugging Face model directory hold its weights, and whether the shard index
// agrees with what the files hold. Rules: docs/design/hf-to-gguf.md, "Source tensors".
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace quantized {

inline constexpr std::string_view kWeightIndexFile = "model.safetensors.index.json";

struct WeightFiles {
  // Sorted: of the index where there is one, else what WeightsWithoutIndex takes.
  std::vector<std::string> files;
  // Tensor name → file, where there is an index.
  std::optional<std::map<std::string, std::string>> weight_map;
};

// Errors: kModelNotFound when the directory holds no safetensors weights (the message says what it
// holds instead: pytorch_model.bin, GGUF files, nothing); kValidationFailed when the index is
// damaged, names a file outside the directory, or names files that are not there.
absl::StatusOr<WeightFiles> FindWeightFiles(const std::filesystem::path& directory);

// The `weight_map` of the text of an index. Errors: kValidationFailed.
absl::StatusOr<std::map<std::string, std::string>> ParseWeightIndex(std::string_view text);

// Whether the index names the tensors that the files hold, no more and no fewer. `names` are all
// tensor names of all files. Errors: kValidationFailed.
absl::Status CheckIndexAgrees(const std::map<std::string, std::string>& weight_map,
                              std::span<const std::string> names);

}  // namespace quantized
