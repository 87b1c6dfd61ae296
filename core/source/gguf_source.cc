#include "core/source/gguf_source.h"

#include <string_view>
#include <utility>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/gguf/split.h"
#include "core/source/fingerprint.h"
#include "core/source/gguf_summary.h"
#include "core/tensor/text.h"

namespace quantized {
namespace {

constexpr std::string_view kTypeKey = "general.type", kModelType = "model";
constexpr std::string_view kArchitectureKey = "general.architecture";
constexpr std::string_view kSplitKeys[] = {"split.no", "split.count", "split.tensors.count"};

absl::Status CheckIsModel(const gguf::GgufReader& reader) {
  const std::string& file_name = reader.parts()[0].bytes->name();
  const auto refused = [&](std::string_view what) {
    return MakeError(Error::kValidationFailed, StrCat(file_name, ": ", what),
                     "Give a GGUF file that holds a whole model");
  };
  // Files made before the key existed are models.
  const auto* type = reader.metadata().Get<std::string>(kTypeKey);
  if (type != nullptr && *type != kModelType) {
    return refused(
        StrCat("metadata key general.type is '", PrintableName(*type), "', expected 'model'"));
  }
  const auto* architecture = reader.metadata().Get<std::string>(kArchitectureKey);
  if (architecture == nullptr) {
    return refused("metadata key general.architecture is missing, expected a string");
  }
  if (reader.tensors().empty()) return refused("holds no tensors");
  return absl::OkStatus();
}

absl::StatusOr<std::string> FingerprintOf(const gguf::GgufReader& reader,
                                          const std::filesystem::path& path) {
  Sha256 hash;
  for (const gguf::GgufReader::Part& part : reader.parts()) {
    RETURN_IF_ERROR(FingerprintFile(path.parent_path() / part.bytes->name(), *part.bytes,
                                    part.header_bytes, hash));
  }
  return hash.HexDigest();
}

std::vector<uint64_t> WithoutTrailingOnes(std::vector<uint64_t> dims) {
  while (dims.size() > 1 && dims.back() == 1) dims.pop_back();
  return dims;
}

}  // namespace

std::string GgufModelName(const std::filesystem::path& path) {
  if (const auto split = gguf::ParseSplitName(path.filename().string())) return split->prefix;
  return path.extension() == ".gguf" ? path.stem().string() : path.filename().string();
}

absl::StatusOr<std::unique_ptr<GgufSource>> GgufSource::Open(const std::filesystem::path& path) {
  ASSIGN_OR_RETURN(std::unique_ptr<gguf::GgufReader> reader, gguf::GgufReader::Open(path));
  RETURN_IF_ERROR(CheckIsModel(*reader));
  ASSIGN_OR_RETURN(std::string fingerprint, FingerprintOf(*reader, path));
  ModelSummary summary = Summarize(*reader, GgufModelName(path));
  return std::unique_ptr<GgufSource>(
      new GgufSource(std::move(reader), std::move(summary), std::move(fingerprint)));
}

GgufSource::GgufSource(std::unique_ptr<gguf::GgufReader> reader, ModelSummary summary,
                       std::string fingerprint)
    : reader_(std::move(reader)),
      summary_(std::move(summary)),
      fingerprint_(std::move(fingerprint)),
      metadata_(reader_->metadata()) {
  for (const std::string_view key : kSplitKeys) metadata_.Remove(key);
  for (const gguf::TensorInfo& tensor : reader_->tensors()) {
    tensors_.push_back(
        {tensor.name, tensor.type, WithoutTrailingOnes(tensor.dims),
         StrCat(reader_->parts()[tensor.part].bytes->name(), ": ", PrintableName(tensor.name)),
         tensor.part});
  }
}

absl::Status GgufSource::ReadRows(size_t tensor, uint64_t first_row, uint64_t rows,
                                  std::span<std::byte> out) const {
  CHECK(tensor < tensors_.size());
  const SourceTensor& source = tensors_[tensor];
  CHECK(first_row <= source.rows() && rows <= source.rows() - first_row);
  const uint64_t row_bytes = kernels::RowBytes(kernels::QuantTypeOf(source.type), source.cols());
  CHECK(out.size() == rows * row_bytes);
  return reader_->Read(reader_->tensors()[tensor], first_row * row_bytes, out);
}

}  // namespace quantized
