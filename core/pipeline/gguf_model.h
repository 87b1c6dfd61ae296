// A GGUF file as the Hugging Face directory that it was made of: configuration and tokenizer
// rebuilt (docs/design/gguf-to-hf.md), tensors by their names there.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/arch/architecture.h"
#include "core/forward/forward_config.h"
#include "core/forward/gguf_tensor_source.h"
#include "core/hf/config.h"
#include "core/packed/quantized_linear.h"
#include "core/source/model_source.h"

namespace quantized {

// Whether one of the tensors is of a type that holds blocks of quantized values.
bool HasBlocks(std::span<const SourceTensor> tensors);

struct GgufModel {
  std::unique_ptr<ModelSource> source;
  const Architecture* architecture = nullptr;
  HfConfig hf_config;
  ForwardConfig config;
  std::unique_ptr<GgufTensorSource> tensors;
};

// `file` is any of a split model. Errors: those of OpenModelSource, RebuildConfig, ForwardConfigOf
// and GgufTensorSource::Open.
absl::StatusOr<GgufModel> OpenGgufModel(const std::filesystem::path& file);

// The weights of the linears in its layers, which AWQ and GPTQ quantize. Those of a part of a layer
// (attention, feed-forward) whose linears all have 16 or 32 bits are left out, as formats leave
// them as they are: not single ones, since loaders join some, query, key and value, and want one
// kind. Of a model with no other linears they are all there.
std::vector<const TensorSource::Tensor*> LinearsOf(const GgufModel& model);

// Rows of a linear whose blocks codes of `bits` bits hold (core/packed/gguf_blocks.h), in groups of
// 32. Errors: those of reading and of ReadBlocks.
absl::StatusOr<QuantizedLinear> LinearOfBlocks(const GgufTensorSource& source,
                                               const TensorSource::Tensor& weight, uint64_t first,
                                               uint64_t count, int bits);

// The largest of whole rows (-1), 128, 64 and 32 weights that have one scale everywhere in the
// linears, so that a model that had such groups before it was a GGUF file has them again. Reads all
// of them only where a row of each allows it. Errors: those of LinearOfBlocks.
absl::StatusOr<int64_t> GroupSizeOf(const GgufTensorSource& source,
                                    std::span<const TensorSource::Tensor* const> linears, int bits);

}  // namespace quantized
