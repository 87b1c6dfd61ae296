// Reads AWQ and GPTQ checkpoints: which linear layers are quantized, and how, and one of them at a
// time. Formats: docs/formats/gptq.md, docs/formats/awq.md. Nothing is believed that the tensors
// themselves can tell: bits and group sizes come from shapes, the version of symmetric GPTQ layers
// from their zero points. Immutable and thread-safe, as far as the TensorStore is.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/hf/config.h"
#include "core/packed/checkpoint_config.h"
#include "core/packed/gptq.h"
#include "core/packed/quantized_linear.h"
#include "core/tensor/dtype.h"

namespace quantized {

// The tensors of a checkpoint by name, wherever they lie. Thread-safe: any thread may call const
// methods.
class TensorStore {
 public:
  struct Tensor {
    DType dtype = DType::kF16;
    std::vector<uint64_t> shape;
    uint64_t size_bytes = 0;  // what dtype and shape need; that many bytes can be read
  };

  virtual ~TensorStore() = default;
  virtual std::vector<std::string> Names() const = 0;
  virtual std::optional<Tensor> Find(std::string_view name) const = 0;
  // Fills `out`, which is as large as the tensor. The tensor is there.
  virtual absl::Status Read(std::string_view name, std::span<std::byte> out) const = 0;
};

// What a configuration says of the whole checkpoint.
struct PackedScheme {
  PackedMethod method = PackedMethod::kGptq;
  int bits = 4;
  int64_t group_size = 128;  // -1: a row is one group
  bool sym = true;           // of GPTQ
  GptqVersion tagged_version = GptqVersion::kV1;
  // `dynamic` gives some layers other bits or group sizes.
  bool has_overrides = false;
};

// `config` is a quantization_config object, `place` where it stands, for messages
// (HfQuantization::place). Nothing where its method is none of ours. Errors: kValidationFailed for
// a field that is missing or cannot be, with field, found and expected; kUnsupportedConversion for
// a form of the method that is not read.
absl::StatusOr<std::optional<PackedScheme>> ParsePackedScheme(const nlohmann::json& config,
                                                              std::string_view place);
// Of a model's directory; nothing where that says nothing of quantization.
absl::StatusOr<std::optional<PackedScheme>> PackedSchemeOf(const HfConfig& config);

struct PackedModule {
  std::string name;  // "model.layers.0.self_attn.q_proj"
  size_t out = 0, in = 0;
  int bits = 4;
  size_t group_size = 0;  // resolved

  bool operator==(const PackedModule&) const = default;
};

// The layers whose `qweight` is in `store`, in byte order of names. Errors: kValidationFailed,
// naming tensor, found and expected: tensors that are missing (also `qweight` itself, beside one of
// the others), have other dtypes or shapes than each other, or tell other bits or a group size than
// `scheme` where nothing overrides it.
absl::StatusOr<std::vector<PackedModule>> ListPackedModules(const PackedScheme& scheme,
                                                            const TensorStore& store);

// A layer of that list. Errors: those of UnpackGptq, UnpackAwq and TensorStore::Read.
absl::StatusOr<QuantizedLinear> LoadPackedModule(const PackedScheme& scheme,
                                                 const TensorStore& store,
                                                 const PackedModule& module);
// The same without the codes, which are not read.
absl::StatusOr<QuantizedLinear> LoadPackedGrid(const PackedScheme& scheme, const TensorStore& store,
                                               const PackedModule& module);

}  // namespace quantized
