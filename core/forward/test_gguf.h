// For tests: GGUF files of Hugging Face directories, those without a tokenizer, too. The tensors
// are what the conversion makes of them, the metadata no more than the architecture.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <vector>

#include "core/arch/architecture.h"
#include "core/arch/geometry.h"
#include "core/base/check.h"
#include "core/gguf/layout.h"
#include "core/gguf/split_layout.h"
#include "core/hf/config.h"
#include "core/source/hf_tensors.h"
#include "core/source/hf_weights.h"
#include "kernels/codecs/codec.h"

namespace quantized::testing {

struct GgufChoices {
  // Of matrices whose rows are whole blocks of it; all else is F32.
  kernels::TypeId type = kernels::TypeId::kF32;
  uint64_t vocabulary = 0;       // more than 0: embeddings that may be cut are cut to it
  uint64_t file_size_bytes = 0;  // more than 0: the model is split into files of this size
};

// The files written, in order: `file`, and those of a split model with a number behind.
inline std::vector<std::filesystem::path> WriteGguf(const std::filesystem::path& directory,
                                                    const std::filesystem::path& file,
                                                    const GgufChoices& choices = {}) {
  using kernels::TypeId;
  const HfConfig config = *HfConfig::Read(directory);
  const Architecture& architecture = *FindArchitecture(config.architecture());
  const auto weights = *HfWeights::Open(directory);
  PlannedTensors planned =
      *PlanTensors(architecture, config, *GeometryOf(config), PlainTensors(*weights), TypeId::kF32);
  if (choices.vocabulary > 0) CutToVocabulary(choices.vocabulary, planned);
  gguf::Metadata metadata;
  metadata.Set("general.architecture", std::string(architecture.gguf_name));
  std::vector<gguf::PlannedTensor> tensors;
  for (const SourceTensor& tensor : planned.tensors) {
    const bool whole = tensor.cols() % kernels::QuantTypeOf(choices.type).block_values == 0;
    const bool is_norm = tensor.name.ends_with("_norm.weight");
    tensors.push_back({tensor.name,
                       tensor.dims.size() > 1 && whole && !is_norm ? choices.type : TypeId::kF32,
                       tensor.dims});
  }
  std::vector<gguf::SplitFile> layouts;
  if (choices.file_size_bytes > 0) {
    layouts = *gguf::PlanSplitBySize(metadata, tensors, choices.file_size_bytes);
  } else {
    layouts.push_back({"", 0, tensors.size(), *gguf::Plan(metadata, tensors)});
  }

  std::vector<std::filesystem::path> files;
  for (const gguf::SplitFile& part : layouts) {
    std::string bytes = part.layout.header;
    bytes.resize(part.layout.file_size_bytes, '\0');
    for (size_t i = 0; i < part.tensor_count; ++i) {
      const size_t index = part.first_tensor + i;
      const ConvertedTensor& converted = planned.converted[index];
      std::vector<float> values(converted.rows * converted.cols);
      CHECK(converted.Read(0, converted.rows, std::as_writable_bytes(std::span(values))).ok());
      const size_t cols = tensors[index].dims[0];
      kernels::FindCodec(tensors[index].type)
          ->encode_ref(values.data(), nullptr, values.size() / cols, cols,
                       reinterpret_cast<std::byte*>(bytes.data() + part.layout.tensors[i].offset));
    }
    files.push_back(file);
    if (layouts.size() > 1) files.back() += std::to_string(files.size());
    std::ofstream(files.back(), std::ios::binary) << bytes;
  }
  return files;
}

}  // namespace quantized::testing
