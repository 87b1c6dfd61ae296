// Fuzz target: a GGUF file of which a Hugging Face directory is rebuilt. Where that succeeds, what
// was rebuilt loads: the configuration has an architecture and sizes, every JSON file is one, and
// tokenizer.json and tokenizer.model make tokenizers.
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "core/arch/geometry.h"
#include "core/base/check.h"
#include "core/gguf/reader.h"
#include "core/hf/tokenizer/sentencepiece_model.h"
#include "core/hf/tokenizer/tokenizer.h"
#include "core/rebuild/hf_files.h"
#include "core/source/model_source.h"
#include "nlohmann/json.hpp"

namespace quantized {
namespace {

class ReaderSource : public ModelSource {
 public:
  explicit ReaderSource(std::unique_ptr<gguf::GgufReader> reader) : reader_(std::move(reader)) {
    for (const gguf::TensorInfo& info : reader_->tensors()) {
      tensors_.push_back({info.name, info.type, info.dims, "", 0});
    }
  }

  const ModelSummary& summary() const override { return summary_; }
  const gguf::Metadata& metadata() const override { return reader_->metadata(); }
  std::span<const SourceTensor> tensors() const override { return tensors_; }
  absl::Status ReadRows(size_t tensor, uint64_t first_row, uint64_t,
                        std::span<std::byte> out) const override {
    CHECK(first_row == 0 && out.size() <= reader_->tensors()[tensor].size_bytes);
    return reader_->Read(reader_->tensors()[tensor], 0, out);
  }
  const std::string& fingerprint() const override { return fingerprint_; }
  bool is_conversion() const override { return false; }

 private:
  const std::unique_ptr<gguf::GgufReader> reader_;
  std::vector<SourceTensor> tensors_;
  ModelSummary summary_;
  std::string fingerprint_;
};

void CheckLoads(const HfFile& file) {
  if (file.name == "tokenizer.model") {
    CHECK(tokenizer::ParseSentencePieceModel(std::as_bytes(std::span(file.bytes)), file.name).ok());
    return;
  }
  CHECK(nlohmann::json::accept(file.bytes));
  if (file.name == "config.json") {
    const auto config = HfConfig::Parse(file.bytes);
    CHECK(config.ok() && GeometryOf(*config).ok());
    CHECK(FindArchitecture(config->architecture()) != nullptr);
  } else if (file.name == "tokenizer.json") {
    auto parsed = tokenizer::ParseTokenizerJson(file.bytes, file.name, tokenizer::ModelPart::kRead);
    CHECK(parsed.ok() && tokenizer::Tokenizer::Create(*std::move(parsed)).ok());
  }
}

}  // namespace
}  // namespace quantized

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace quantized;
  auto reader =
      gguf::GgufReader::Open(MemoryBytes("fuzz.gguf", std::as_bytes(std::span(data, size))));
  if (!reader.ok()) return 0;
  const auto files = RebuildHfFiles(ReaderSource(*std::move(reader)));
  if (!files.ok()) return 0;
  for (const HfFile& file : *files) CheckLoads(file);
  return 0;
}
