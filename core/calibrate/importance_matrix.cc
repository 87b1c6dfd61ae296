#include "core/calibrate/importance_matrix.h"

#include <algorithm>
#include <cmath>

#include "core/base/error.h"
#include "core/base/sha256.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/tensor/shape.h"
#include "core/tensor/text.h"

namespace quantized {
namespace {

// Readers in the field hold such strings in 128 bytes, the final zero among them.
constexpr size_t kMaxTextBytes = 127;

bool HoldsOneOf(std::string_view name, std::span<const std::string> parts) {
  return std::any_of(parts.begin(), parts.end(), [&](const std::string& part) {
    return name.find(part) != std::string_view::npos;
  });
}

bool IsKept(std::string_view name, const ImportanceMatrix::Filter& filter) {
  return !HoldsOneOf(name, filter.exclude) &&
         (filter.include.empty() || HoldsOneOf(name, filter.include));
}

bool IsEmbedding(std::string_view name) {
  return name == "token_embd.weight" || name == "per_layer_token_embd.weight";
}

void HashSize(uint64_t size, Sha256& hash) { hash.Update(std::as_bytes(std::span(&size, 1))); }

}  // namespace

absl::StatusOr<ImportanceMatrix> ImportanceMatrix::Make(const ImportanceFile& file,
                                                        std::string name, const Filter& filter) {
  ImportanceMatrix matrix;
  matrix.file_name_ = std::move(name);
  for (const auto& [tensor, entry] : file.entries) {
    if (IsKept(tensor, filter)) matrix.entries_.emplace(tensor, entry.Weights());
  }
  if (!file.datasets.empty()) matrix.dataset_ = file.datasets.front();
  matrix.chunks_ = file.chunks;
  RETURN_IF_ERROR(matrix.CheckWeights());
  return matrix;
}

absl::Status ImportanceMatrix::CheckWeights() const {
  for (const auto& [name, weights] : entries()) {
    const auto bad = std::find_if(weights.begin(), weights.end(), [](float weight) {
      return !std::isfinite(weight) || weight < 0;
    });
    if (bad == weights.end()) continue;
    return MakeError(Error::kValidationFailed,
                     StrCat(file_name_, ": entry ", PrintableName(name), ": weight ",
                            bad - weights.begin(), " is ", *bad, ", expected a number from 0 on"),
                     "Make the importance matrix again, or leave the entry out with "
                     "--exclude-weights");
  }
  return absl::OkStatus();
}

absl::StatusOr<std::span<const float>> ImportanceMatrix::Find(std::string_view name, uint64_t cols,
                                                              uint64_t matrices) const {
  const auto entry = entries().find(name);
  if (entry == entries().end()) return std::span<const float>();
  const std::vector<float>& weights = entry->second;
  if (CheckedMultiply(cols, matrices) == weights.size()) return std::span(weights);
  if (IsEmbedding(name)) return std::span<const float>();
  return MakeError(
      Error::kValidationFailed,
      StrCat(file_name_, ": entry ", PrintableName(name), " has ", weights.size(),
             " weights, the tensor needs ", cols, " * ", matrices, " (columns * matrices)"),
      "Give the importance matrix that was made of this model");
}

std::string ImportanceMatrix::Hash() const {
  Sha256 hash;
  for (const auto& [name, weights] : entries()) {
    HashSize(name.size(), hash);
    hash.Update(name);
    HashSize(weights.size(), hash);
    hash.Update(std::as_bytes(std::span(weights)));
  }
  return hash.HexDigest();
}

void ImportanceMatrix::AppendMetadata(std::string_view path, gguf::Metadata& metadata) const {
  if (empty()) return;
  const auto text = [](std::string_view given) {
    return std::string(given.substr(0, kMaxTextBytes));
  };
  if (!path.empty()) metadata.SetLast("quantize.imatrix.file", text(path));
  if (dataset()) metadata.SetLast("quantize.imatrix.dataset", text(*dataset()));
  metadata.SetLast("quantize.imatrix.entries_count", static_cast<uint32_t>(entries().size()));
  if (chunks() > 0) metadata.SetLast("quantize.imatrix.chunks_count", chunks());
}

}  // namespace quantized
