#include "core/source/hf_weights.h"

#include <string_view>
#include <unordered_map>
#include <utility>

#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/hf/weight_files.h"
#include "core/source/fingerprint.h"
#include "core/tensor/text.h"

namespace quantized {

std::string HfWeights::Tensor::Origin() const {
  return StrCat(file->bytes().name(), ": ", PrintableName(info->name));
}

absl::StatusOr<std::unique_ptr<HfWeights>> HfWeights::Open(const std::filesystem::path& directory) {
  ASSIGN_OR_RETURN(const WeightFiles found, FindWeightFiles(directory));
  std::unique_ptr<HfWeights> weights(new HfWeights(directory));
  std::unordered_map<std::string_view, size_t> places;  // by name; names live in the readers
  std::vector<std::string> names;
  for (const std::string& file_name : found.files) {
    ASSIGN_OR_RETURN(auto file, safetensors::SafetensorsReader::Open(directory / file_name));
    for (const safetensors::TensorInfo& info : file->tensors()) {
      const auto [place, is_new] = places.emplace(info.name, weights->tensors_.size());
      if (is_new) {
        weights->tensors_.push_back({file.get(), &info});
        names.push_back(info.name);
      } else {
        weights->tensors_[place->second] = {file.get(), &info};
      }
    }
    weights->files_.push_back(std::move(file));
  }
  if (found.weight_map) {
    RETURN_IF_ERROR(CheckIndexAgrees(*found.weight_map, names)) << directory.string();
  }
  return weights;
}

absl::Status HfWeights::Fingerprint(Sha256& hash) const {
  for (const auto& file : files_) {
    RETURN_IF_ERROR(FingerprintFile(directory_ / file->bytes().name(), file->bytes(),
                                    file->header_bytes(), hash));
  }
  return absl::OkStatus();
}

}  // namespace quantized
