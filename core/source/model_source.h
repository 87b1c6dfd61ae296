// A model as the quantizer sees it, wherever it comes from: GGUF metadata and an ordered list of
// GGUF tensors whose rows can be read in any order. A Hugging Face directory appears as the file
// that the reference converter would have written (docs/design/hf-to-gguf.md); a GGUF file as
// itself. Nothing larger than what a caller asks for is read into memory. Thread-safe: any thread
// may call const methods.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/gguf/metadata.h"
#include "kernels/types/quant_type.h"

namespace quantized {

struct SourceTensor {
  std::string name;            // as in GGUF: "blk.0.attn_q.weight"
  kernels::TypeId type;        // of the bytes that ReadRows gives
  std::vector<uint64_t> dims;  // GGUF order: dims[0] is the row length; 1 to 4 of them
  std::string origin;  // where it lies, for messages: "model.safetensors: model.norm.weight"
  uint32_t part = 0;   // which file of a split GGUF model holds it

  uint64_t cols() const { return dims[0]; }
  uint64_t rows() const {  // of all matrices together
    uint64_t rows = 1;
    for (size_t i = 1; i < dims.size(); ++i) rows *= dims[i];
    return rows;
  }
};

// What a person wants to know about a model, in Hugging Face's terms.
struct ModelSummary {
  std::string name;              // of the directory or file
  std::string architecture;      // "LlamaForCausalLM"; the GGUF name where there is no HF term
  std::string dtype;             // "float16", of most of the weights; "Q4_K" for a quantized GGUF
  std::string packing;           // "gptq 4bit", of most packed linears; empty where none are
  uint64_t parameter_count = 0;  // from tensor shapes, packed linears unpacked; 0: not known
  uint64_t size_bytes = 0;       // of the source's tensors as stored
  uint32_t num_layers = 0;
  uint64_t hidden_size = 0;
  uint32_t num_heads = 0;
  uint64_t vocab_size = 0;
};

class ModelSource {
 public:
  virtual ~ModelSource() = default;

  virtual const ModelSummary& summary() const = 0;
  // Metadata and tensors as in the GGUF file that this source is, or would be converted to.
  virtual const gguf::Metadata& metadata() const = 0;
  virtual std::span<const SourceTensor> tensors() const = 0;

  // Fills `out` with rows [first_row, first_row + rows) of tensors()[tensor] in the tensor's type:
  // rows * RowBytes(type, cols) bytes. Errors: kIo; kValidationFailed where the file has shrunk.
  virtual absl::Status ReadRows(size_t tensor, uint64_t first_row, uint64_t rows,
                                std::span<std::byte> out) const = 0;

  // SHA-256 (hex) over what decides the tensors and metadata: headers, configuration, tokenizer
  // files, and size and modification time of each data file. The same for a copied folder
  // whose times were kept.
  virtual const std::string& fingerprint() const = 0;

  // True when metadata() and tensors() follow the converter's order and types, and a float level is
  // therefore written as they stand (docs/design/hf-to-gguf.md); false for a GGUF file.
  virtual bool is_conversion() const = 0;

  // The blocks in which the linears of an AWQ or GPTQ directory are offered, bit for bit; nothing
  // for other sources. A level of this type is written as the tensors stand, too.
  virtual std::optional<kernels::TypeId> blocks() const { return std::nullopt; }
  // Memory that reading takes, beyond the caller's.
  virtual uint64_t memory_bytes() const { return 0; }
};

struct SourceOptions {
  // Type in which a conversion offers its matrices: kF32, kF16 or kBF16. Of an AWQ or GPTQ
  // directory also one that holds its linears (core/packed/gguf_blocks.h): they are offered as such
  // blocks, other matrices as they are stored. Ignored for GGUF.
  kernels::TypeId conversion_type = kernels::TypeId::kF32;
  // An AWQ or GPTQ directory may be opened, too.
  bool may_be_packed = false;
  // Pre-tokenizer name to use where the tokenizer is not recognised; empty: recognise it.
  std::string pre_tokenizer;
};

// Opens a Hugging Face directory or a .gguf file by what it is. Errors: kModelNotFound (no such
// path, no loadable model in it, only pytorch_model.bin), kValidationFailed (damaged or unknown).
absl::StatusOr<std::unique_ptr<ModelSource>> OpenModelSource(const std::filesystem::path& path,
                                                             const SourceOptions& options);

}  // namespace quantized
