#include "core/pipeline/compared_model.h"

#include <algorithm>
#include <filesystem>
#include <functional>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "core/arch/geometry.h"
#include "core/arch/tensor_names.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/gguf/metadata.h"
#include "core/hf/config.h"
#include "core/packed/reader.h"
#include "core/source/checkpoint_tensor.h"
#include "core/source/converted_tensor.h"
#include "core/source/gguf_source.h"
#include "core/source/hf_tensors.h"
#include "core/source/hf_weights.h"
#include "core/source/model_source.h"
#include "core/source/packed_weights.h"
#include "core/source/quantization.h"
#include "core/tensor/dtype.h"
#include "core/tensor/text.h"
#include "kernels/codecs/codec.h"
#include "kernels/types/quant_type.h"

namespace quantized {
namespace {

namespace fs = std::filesystem;
using kernels::TypeId;

// Where a file does not say how large value heads are, the hidden size is split among the heads.
uint64_t HeadDimOf(const gguf::Metadata& metadata, std::string_view architecture) {
  const auto number = [&](std::string_view key) {
    return metadata.GetUnsigned(StrCat(architecture, ".", key)).value_or(0);
  };
  if (const uint64_t size = number("attention.value_length")) return size;
  const uint64_t heads = number("attention.head_count");
  return heads == 0 ? 0 : number("embedding_length") / heads;
}

class ComparedGguf : public ComparedModel {
 public:
  static absl::StatusOr<std::unique_ptr<const ComparedModel>> Open(const fs::path& path) {
    ASSIGN_OR_RETURN(std::unique_ptr<GgufSource> source, GgufSource::Open(path));
    std::unique_ptr<ComparedGguf> model(new ComparedGguf(std::move(source)));
    RETURN_IF_ERROR(model->List());
    return std::unique_ptr<const ComparedModel>(std::move(model));
  }

  absl::Status ReadRows(size_t tensor, uint64_t first, uint64_t rows,
                        std::vector<float>& values) const override {
    const SourceTensor& info = source_->tensors()[tensor];
    std::vector<std::byte> bytes(rows *
                                 kernels::RowBytes(kernels::QuantTypeOf(info.type), info.cols()));
    RETURN_IF_ERROR(source_->ReadRows(tensor, first, rows, bytes));
    values.resize(rows * info.cols());
    kernels::FindCodec(info.type)->decode(bytes.data(), values.size(), values.data());
    return absl::OkStatus();
  }

 private:
  explicit ComparedGguf(std::unique_ptr<GgufSource> source) : source_(std::move(source)) {}

  absl::Status List() {
    const auto* name = source_->metadata().Get<std::string>("general.architecture");
    const std::string_view architecture = name == nullptr ? "" : std::string_view(*name);
    const auto row = std::ranges::find_if(AllArchitectures(), [&](const Architecture* one) {
      return one->gguf_name == architecture;
    });
    if (row != AllArchitectures().end()) architecture_ = *row;
    head_dim_ = HeadDimOf(source_->metadata(), architecture);
    for (const SourceTensor& tensor : source_->tensors()) {
      const std::string type(kernels::QuantTypeOf(tensor.type).name);
      if (kernels::FindCodec(tensor.type) == nullptr) {
        return MakeError(Error::kValidationFailed,
                         StrCat(tensor.origin, ": type ", type, " is not decoded"));
      }
      tensors_.push_back({.key = tensor.name,
                          .parts = {{tensor.name, type}},
                          .dims = tensor.dims,
                          .origin = tensor.origin});
    }
    return absl::OkStatus();
  }

  const std::unique_ptr<GgufSource> source_;
};

// The tensors of a checkpoint as they stand there, but for tables that a model makes anew.
PlannedTensors AsTheyStand(std::span<const CheckpointTensor> tensors) {
  PlannedTensors planned;
  for (const CheckpointTensor& tensor : tensors) {
    if (IsBuffer(tensor.name)) continue;
    SourceTensor& source = planned.tensors.emplace_back(
        SourceTensor{.name = tensor.name,
                     .type = TypeId::kF32,
                     .dims = {tensor.shape.rbegin(), tensor.shape.rend()},
                     .origin = tensor.Origin()});
    if (source.dims.empty()) source.dims = {1};
    ConvertedTensor& converted = planned.converted.emplace_back();
    converted.sources = {tensor};
    // A vector counts as rows of one value.
    const bool is_vector = source.dims.size() == 1;
    converted.rows = is_vector ? source.dims[0] : source.rows();
    converted.cols = is_vector ? 1 : source.cols();
  }
  return planned;
}

class ComparedDirectory : public ComparedModel {
 public:
  static absl::StatusOr<std::unique_ptr<const ComparedModel>> Open(const fs::path& directory,
                                                                   TensorKeys keys) {
    std::unique_ptr<ComparedDirectory> model(new ComparedDirectory);
    ASSIGN_OR_RETURN(const HfConfig config, HfConfig::Read(directory));
    ASSIGN_OR_RETURN(model->weights_, HfWeights::Open(directory));
    ASSIGN_OR_RETURN(const std::vector<CheckpointTensor> tensors, model->Unpacked(config));
    if (keys == TensorKeys::kGguf) {
      RETURN_IF_ERROR(model->Plan(config, tensors));
    } else {
      model->planned_ = AsTheyStand(tensors);
    }
    model->List();
    return std::unique_ptr<const ComparedModel>(std::move(model));
  }

  absl::Status ReadRows(size_t tensor, uint64_t first, uint64_t rows,
                        std::vector<float>& values) const override {
    const ConvertedTensor& converted = planned_.converted[tensor];
    // The one row of a vector is all of its values, which ConvertedTensor counts as rows.
    const uint64_t scale = tensors_[tensor].dims.size() == 1 ? converted.rows : 1;
    values.resize(rows * tensors_[tensor].cols());
    return converted.Read(first * scale, rows * scale, std::as_writable_bytes(std::span(values)));
  }

 private:
  ComparedDirectory() { is_directory_ = true; }

  absl::StatusOr<std::vector<CheckpointTensor>> Unpacked(const HfConfig& config) {
    const HfQuantization* quantization = QuantizationOf(config, *weights_);
    if (quantization == nullptr) {
      RETURN_IF_ERROR(CheckPackingIsSaid(config, *weights_));
      return PlainTensors(*weights_);
    }
    ASSIGN_OR_RETURN(const std::optional<PackedScheme> scheme, PackedSchemeOf(config));
    if (!scheme) return QuantizedAlready(*quantization);
    ASSIGN_OR_RETURN(packed_, PackedWeights::Open(*weights_, *scheme));
    return packed_->Tensors(TypeId::kF32);
  }

  absl::Status Plan(const HfConfig& config, std::span<const CheckpointTensor> tensors) {
    architecture_ = FindArchitecture(config.architecture());
    if (architecture_ == nullptr) {
      return MakeError(
          Error::kValidationFailed,
          StrCat("config.json: architectures: found ",
                 config.architecture().empty() ? "nothing" : PrintableName(config.architecture()),
                 ", whose tensors have no known names in GGUF"),
          "Such a model can be compared with another directory only");
    }
    ASSIGN_OR_RETURN(const Geometry geometry, GeometryOf(config));
    head_dim_ = geometry.head_dim;
    ASSIGN_OR_RETURN(planned_,
                     PlanTensors(*architecture_, config, geometry, tensors, TypeId::kF32));
    return absl::OkStatus();
  }

  void List() {
    std::unordered_map<std::string, int> bits;  // of packed linears, by name of the weight
    for (size_t i = 0; packed_ != nullptr && i < packed_->modules().size(); ++i) {
      const PackedModule& module = packed_->modules()[i];
      bits.emplace(StrCat(module.name, ".weight"), module.bits);
    }
    for (size_t i = 0; i < planned_.tensors.size(); ++i) {
      const SourceTensor& tensor = planned_.tensors[i];
      const ConvertedTensor& converted = planned_.converted[i];
      ComparedTensor& listed = tensors_.emplace_back();
      listed.key = tensor.name;
      listed.dims = tensor.dims;
      listed.origin = tensor.origin;
      listed.may_be_cut = converted.transform == Transform::kCutToVocabulary;
      for (const CheckpointTensor& source : converted.sources) {
        const auto found = bits.find(source.name);
        listed.parts.push_back({source.name, found == bits.end()
                                                 ? std::string(RowOf(source.dtype).name)
                                                 : StrCat(found->second, "-bit")});
      }
      if (converted.sources.empty()) listed.parts = {{tensor.name, "F32"}};  // generated
    }
  }

  std::unique_ptr<HfWeights> weights_;
  std::unique_ptr<PackedWeights> packed_;  // of weights_; null where none of them is packed
  PlannedTensors planned_;                 // reads from both
};

}  // namespace

uint64_t ComparedTensor::rows() const {
  uint64_t rows = 1;
  for (size_t i = 1; i < dims.size(); ++i) rows *= dims[i];
  return rows;
}

absl::StatusOr<std::unique_ptr<const ComparedModel>> ComparedModel::Open(const LocatedModel& model,
                                                                         TensorKeys keys) {
  if (model.kind == ModelKind::kGgufFile) return ComparedGguf::Open(model.path);
  return ComparedDirectory::Open(model.path, keys);
}

}  // namespace quantized
