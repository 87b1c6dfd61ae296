#include "core/forward/gguf_tensor_source.h"

#include <unordered_map>
#include <utility>
#include <vector>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/tensor/shape.h"
#include "core/tensor/text.h"
#include "kernels/codecs/codec.h"

namespace quantized {
namespace {

constexpr std::string_view kArchitectureKey = "general.architecture";

absl::Status Wrong(std::string_view tensor, std::string_view found, std::string_view expected) {
  return MakeError(Error::kValidationFailed,
                   StrCat("tensor ", tensor, ": found ", found, ", expected ", expected),
                   "Check that the GGUF file was made of this model");
}

// Outermost dimensions of 1 may be left out in a file.
std::vector<uint64_t> WithoutLeadingOnes(std::vector<uint64_t> shape) {
  while (shape.size() > 1 && shape.front() == 1) shape.erase(shape.begin());
  return shape;
}

uint64_t HeadsOf(Transform transform, const Geometry& geometry) {
  if (transform == Transform::kInterleaveQuery) return geometry.heads;
  return transform == Transform::kInterleaveKey ? geometry.kv_heads : 0;
}

}  // namespace

absl::StatusOr<std::unique_ptr<GgufTensorSource>> GgufTensorSource::Open(
    std::span<const std::filesystem::path> files, const ForwardConfig& config) {
  ASSIGN_OR_RETURN(std::unique_ptr<gguf::GgufReader> reader, gguf::GgufReader::Open(files));
  return Open(std::move(reader), config);
}

absl::StatusOr<std::unique_ptr<GgufTensorSource>> GgufTensorSource::Open(
    const std::filesystem::path& file, const ForwardConfig& config) {
  ASSIGN_OR_RETURN(std::unique_ptr<gguf::GgufReader> reader, gguf::GgufReader::Open(file));
  return Open(std::move(reader), config);
}

absl::StatusOr<std::unique_ptr<GgufTensorSource>> GgufTensorSource::Open(
    std::unique_ptr<gguf::GgufReader> reader, const ForwardConfig& config) {
  const Architecture& architecture = *config.architecture;
  const auto* name = reader->metadata().Get<std::string>(kArchitectureKey);
  if (name == nullptr || *name != architecture.gguf_name) {
    return MakeError(Error::kValidationFailed,
                     StrCat(reader->parts()[0].bytes->name(), ": found ", kArchitectureKey, " ",
                            name == nullptr ? "nowhere" : PrintableName(*name), ", expected ",
                            architecture.gguf_name));
  }
  std::unordered_map<std::string_view, const gguf::TensorInfo*> infos;
  for (const gguf::TensorInfo& info : reader->tensors()) infos.emplace(info.name, &info);
  const auto find = [&](std::string_view gguf_name) {
    const auto found = infos.find(gguf_name);
    return found == infos.end() ? nullptr : found->second;
  };

  std::unique_ptr<GgufTensorSource> source(new GgufTensorSource(std::move(reader)));
  for (const TensorRule& rule : architecture.tensors) {
    if (rule.gguf.empty()) continue;
    const bool in_layers = rule.gguf.find("{i}") != std::string_view::npos;
    for (uint32_t layer = 0; layer < (in_layers ? config.geometry.layers : 1); ++layer) {
      const std::string weight = GgufName(rule, layer);
      const std::string bias = weight.substr(0, weight.rfind('.')) + ".bias";
      if (const gguf::TensorInfo* info = find(weight); info != nullptr) {
        RETURN_IF_ERROR(source->Add(config, rule, layer, /*is_bias=*/false, info));
      } else if (!rule.optional) {
        return Wrong(weight, "in no file", StrCat(config.geometry.layers, " layers with it"));
      }
      if (const gguf::TensorInfo* info = find(bias); info != nullptr && !IsStacked(rule)) {
        RETURN_IF_ERROR(source->Add(config, rule, layer, /*is_bias=*/true, info));
      }
    }
  }
  return source;
}

absl::Status GgufTensorSource::Add(const ForwardConfig& config, const TensorRule& rule,
                                   uint32_t layer, bool is_bias, const gguf::TensorInfo* info) {
  const Geometry& geometry = config.geometry;
  std::vector<uint64_t> shape = ShapeOf(rule, is_bias, geometry);
  const uint32_t experts = IsStacked(rule) ? geometry.experts : 1;
  std::vector<uint64_t> expected = shape;
  if (experts > 1) expected.insert(expected.begin(), experts);
  const std::vector<uint64_t> found = WithoutLeadingOnes({info->dims.rbegin(), info->dims.rend()});
  // A vocabulary that is cut may be smaller, one that the configuration does not give anything.
  if (rule.rows == Dim::kVocabulary && found.size() == shape.size() &&
      (shape[0] == 0 || (rule.transform == Transform::kCutToVocabulary && found[0] < shape[0]))) {
    shape[0] = expected[0] = found[0];
  }
  if (found != WithoutLeadingOnes(expected)) {
    return Wrong(info->name, StrCat("shape ", ShapeText(found)),
                 StrCat("shape ", ShapeText(expected), " from config.json"));
  }
  const kernels::QuantType& type = kernels::QuantTypeOf(info->type);
  if (kernels::FindCodec(info->type) == nullptr) {
    return Wrong(info->name, StrCat("type ", type.name), "one that holds weights");
  }

  Stored stored;
  stored.shape = shape;
  stored.type = std::string(type.name);
  stored.info = info;
  stored.transform = TransformOf(rule, is_bias);
  const uint64_t heads = HeadsOf(stored.transform, geometry);
  if (heads > 0) stored.rows_per_head = shape[0] / heads;
  if (stored.rows_per_head % 2 != 0) {
    return Wrong(info->name, StrCat(shape[0], " rows"),
                 StrCat(heads, " heads of an even number of rows"));
  }
  const std::string_view suffix = is_bias ? ".bias" : ".weight";
  for (uint32_t expert = 0; expert < experts; ++expert) {
    const std::string name = CheckpointName(rule, layer, expert);
    stored.name = StrCat(name.substr(0, name.rfind('.')), suffix);
    stored.first_row = expert * shape[0];
    const auto added = tensors_.emplace(StrCat(PlainModule(rule, layer, expert), suffix), stored);
    order_.push_back(&added.first->second);
  }
  return absl::OkStatus();
}

const TensorSource::Tensor* GgufTensorSource::Find(std::string_view name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : &found->second;
}

// Row 2j + s of a head in the file is row s * d/2 + j of that head, d rows to a head.
uint64_t GgufTensorSource::Stored::RowInFile(uint64_t row) const {
  if (rows_per_head == 0) return first_row + row;
  const uint64_t half = rows_per_head / 2, in_head = row % rows_per_head;
  return first_row + row - in_head + 2 * (in_head % half) + in_head / half;
}

kernels::TypeId GgufTensorSource::TypeOf(const Tensor& tensor) {
  return static_cast<const Stored&>(tensor).info->type;
}

absl::Status GgufTensorSource::ReadBlocks(const Tensor& tensor, uint64_t first, uint64_t count,
                                          std::span<std::byte> out) const {
  const auto& stored = static_cast<const Stored&>(tensor);
  const uint64_t row_bytes =
      kernels::RowBytes(kernels::QuantTypeOf(stored.info->type), stored.shape.back());
  CHECK(stored.shape.size() == 2 && out.size() == count * row_bytes);
  if (stored.rows_per_head == 0) {
    return reader_->Read(*stored.info, (stored.first_row + first) * row_bytes, out);
  }
  for (uint64_t i = 0; i < count; ++i) {
    RETURN_IF_ERROR(reader_->Read(*stored.info, stored.RowInFile(first + i) * row_bytes,
                                  out.subspan(i * row_bytes, row_bytes)));
  }
  return absl::OkStatus();
}

absl::Status GgufTensorSource::ReadRows(const Tensor& tensor, uint64_t first, uint64_t count,
                                        float* out) const {
  const auto& stored = static_cast<const Stored&>(tensor);
  const uint64_t cols = stored.shape.back();
  const kernels::Codec& codec = *kernels::FindCodec(stored.info->type);
  std::vector<std::byte> bytes(count *
                               kernels::RowBytes(kernels::QuantTypeOf(stored.info->type), cols));
  if (stored.shape.size() == 2) {
    RETURN_IF_ERROR(ReadBlocks(tensor, first, count, bytes));
    codec.decode(bytes.data(), count * cols, out);
  } else {
    RETURN_IF_ERROR(reader_->Read(*stored.info, 0, bytes));
    std::vector<float> values(cols);
    codec.decode(bytes.data(), cols, values.data());
    for (uint64_t i = 0; i < cols; ++i) out[i] = values[stored.RowInFile(i)];
  }
  if (stored.transform == Transform::kAddOne) {
    for (uint64_t i = 0; i < count * cols; ++i) out[i] -= 1.0f;
  }
  return absl::OkStatus();
}

}  // namespace quantized
