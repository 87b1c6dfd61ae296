// A GGUF file, or a split model, as a ModelSource: its metadata and tensors as they are, but for
// what only describes the container. Thread-safe: any thread may call const methods.
#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/gguf/reader.h"
#include "core/source/model_source.h"

namespace quantized {

class GgufSource : public ModelSource {
 public:
  // Errors: those of GgufReader::Open; kValidationFailed when the file holds no model (no tensors,
  // no architecture, another general.type).
  static absl::StatusOr<std::unique_ptr<GgufSource>> Open(const std::filesystem::path& path);

  const ModelSummary& summary() const override { return summary_; }
  // Without the `split.` keys: the model is one here.
  const gguf::Metadata& metadata() const override { return metadata_; }
  // In file order, without dimensions of 1 at the end, which the reference quantizer drops, too.
  std::span<const SourceTensor> tensors() const override { return tensors_; }
  absl::Status ReadRows(size_t tensor, uint64_t first_row, uint64_t rows,
                        std::span<std::byte> out) const override;
  const std::string& fingerprint() const override { return fingerprint_; }
  bool is_conversion() const override { return false; }

 private:
  GgufSource(std::unique_ptr<gguf::GgufReader> reader, ModelSummary summary,
             std::string fingerprint);

  const std::unique_ptr<gguf::GgufReader> reader_;
  const ModelSummary summary_;
  const std::string fingerprint_;
  gguf::Metadata metadata_;
  std::vector<SourceTensor> tensors_;
};

// The name of the model in a file: without folder, `.gguf` and split numbers.
std::string GgufModelName(const std::filesystem::path& path);

}  // namespace quantized
