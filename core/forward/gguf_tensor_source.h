// The tensors of a GGUF model that was made of a Hugging Face directory, under the names and in the
// form that they had there: what the conversion does to names, rows and values
// (docs/design/hf-to-gguf.md) is undone. Of a norm that was written as value + 1 the rounding of
// that sum stays: for norms of 0.5 or more, value + 1 is what the file has.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/arch/tensor_names.h"
#include "core/forward/forward_config.h"
#include "core/forward/tensor_source.h"
#include "core/gguf/reader.h"

namespace quantized {

class GgufTensorSource : public TensorSource {
 public:
  // `files`: one, or those of a split model in order. Names have no wrapper around them
  // ("model.layers.0.…"); an embedding that was cut to the tokenizer's vocabulary has so many rows.
  // Errors: those of GgufReader::Open; kValidationFailed for another architecture than that of
  // `config` and, naming the tensor, found and expected, for one that is missing, has another shape
  // than the configuration gives it, or a type that is not decoded.
  static absl::StatusOr<std::unique_ptr<GgufTensorSource>> Open(
      std::span<const std::filesystem::path> files, const ForwardConfig& config);
  // `file` is any of a split model, the others are beside it.
  static absl::StatusOr<std::unique_ptr<GgufTensorSource>> Open(const std::filesystem::path& file,
                                                                const ForwardConfig& config);

  const Tensor* Find(std::string_view name) const override;
  // In the order of the architecture's rules, layer by layer.
  const std::vector<const Tensor*>& tensors() const { return order_; }
  absl::Status ReadRows(const Tensor& tensor, uint64_t first, uint64_t count,
                        float* out) const override;

  // The type in which the file has `tensor`, one of tensors().
  static kernels::TypeId TypeOf(const Tensor& tensor);
  // Rows as the file has them, in the checkpoint's order: count * RowBytes(TypeOf(tensor), row
  // length) bytes. Of a matrix. Errors: those of ReadRows.
  absl::Status ReadBlocks(const Tensor& tensor, uint64_t first, uint64_t count,
                          std::span<std::byte> out) const;

 private:
  struct Stored : Tensor {
    const gguf::TensorInfo* info = nullptr;  // of reader_
    uint64_t first_row = 0;                  // of an expert, in the layer's stack
    Transform transform = Transform::kNone;  // what the conversion did
    uint64_t rows_per_head = 0;              // of the interleaving transforms; even

    // Where the file has row `row` of this tensor. A vector counts as rows of one value here.
    uint64_t RowInFile(uint64_t row) const;
  };

  explicit GgufTensorSource(std::unique_ptr<gguf::GgufReader> reader)
      : reader_(std::move(reader)) {}

  static absl::StatusOr<std::unique_ptr<GgufTensorSource>> Open(
      std::unique_ptr<gguf::GgufReader> reader, const ForwardConfig& config);
  // Adds what a rule makes of one layer: of each expert one tensor.
  absl::Status Add(const ForwardConfig& config, const TensorRule& rule, uint32_t layer,
                   bool is_bias, const gguf::TensorInfo* info);

  std::unique_ptr<gguf::GgufReader> reader_;
  std::map<std::string, Stored, std::less<>> tensors_;  // by plain name
  std::vector<const Tensor*> order_;
};

}  // namespace quantized
