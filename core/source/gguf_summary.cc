#include "core/source/gguf_summary.h"

#include <algorithm>
#include <array>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "core/arch/gguf_architecture.h"
#include "core/arch/tensor_names.h"
#include "core/base/str_cat.h"

namespace quantized {
namespace {

using gguf::Metadata;
using gguf::TensorInfo;
using kernels::TypeId;

struct DTypeName {
  TypeId type;
  std::string_view name;
};
constexpr std::array kDTypeNames = {
    DTypeName{TypeId::kF32, "float32"}, DTypeName{TypeId::kF16, "float16"},
    DTypeName{TypeId::kI8, "int8"},     DTypeName{TypeId::kI16, "int16"},
    DTypeName{TypeId::kI32, "int32"},   DTypeName{TypeId::kI64, "int64"},
    DTypeName{TypeId::kF64, "float64"}, DTypeName{TypeId::kBF16, "bfloat16"},
};

uint64_t Elements(const TensorInfo& tensor) {
  uint64_t elements = 1;
  for (const uint64_t dim : tensor.dims) elements *= dim;
  return elements;
}

const TensorInfo* FindTensor(const gguf::GgufReader& reader, std::string_view name) {
  const auto tensors = reader.tensors();
  const auto found = std::find_if(tensors.begin(), tensors.end(),
                                  [&](const TensorInfo& tensor) { return tensor.name == name; });
  return found == tensors.end() ? nullptr : &*found;
}

// The largest number of an array of whole numbers: some models give a count per layer.
std::optional<uint64_t> LargestElement(const Metadata& metadata, std::string_view key) {
  const auto* array = metadata.Get<gguf::Array>(key);
  if (array == nullptr) return std::nullopt;
  return std::visit(
      []<typename T>(const std::vector<T>& elements) -> std::optional<uint64_t> {
        if constexpr (std::is_integral_v<T>) {
          if (elements.empty()) return std::nullopt;
          const T largest = *std::max_element(elements.begin(), elements.end());
          if (largest >= 0) return static_cast<uint64_t>(largest);
        }
        return std::nullopt;
      },
      *array);
}

// The number under ARCHITECTURE.name.
std::optional<uint64_t> Figure(const Metadata& metadata, std::string_view name) {
  const auto* architecture = metadata.Get<std::string>("general.architecture");
  if (architecture == nullptr) return std::nullopt;
  const std::string key = StrCat(*architecture, ".", name);
  const auto number = metadata.GetUnsigned(key);
  return number ? number : LargestElement(metadata, key);
}

uint32_t SmallFigure(const Metadata& metadata, std::string_view name) {
  const uint64_t figure = Figure(metadata, name).value_or(0);
  return figure <= std::numeric_limits<uint32_t>::max() ? static_cast<uint32_t>(figure) : 0;
}

uint64_t VocabSize(const Metadata& metadata, const TensorInfo* embedding) {
  if (embedding != nullptr && embedding->dims.size() == 2) return embedding->dims[1];
  if (const auto figure = Figure(metadata, "vocab_size")) return *figure;
  const auto* tokens = metadata.Get<gguf::Array>("tokenizer.ggml.tokens");
  if (tokens == nullptr) return 0;
  return std::visit([](const auto& elements) -> uint64_t { return elements.size(); }, *tokens);
}

// "LlamaForCausalLM" for "llama"; the name itself where none of our architectures has it.
std::string ArchitectureName(const gguf::GgufReader& reader) {
  const auto* name = reader.metadata().Get<std::string>("general.architecture");
  if (name == nullptr) return "";
  std::vector<std::string_view> tensors;
  for (const TensorInfo& tensor : reader.tensors()) tensors.push_back(tensor.name);
  const ArchitectureFit fit =
      FitGgufArchitecture(*name, SmallFigure(reader.metadata(), "block_count"), tensors);
  return fit.architecture == nullptr ? *name : std::string(fit.architecture->hf_names[0]);
}

}  // namespace

std::string_view HfDTypeName(TypeId type) {
  for (const DTypeName& row : kDTypeNames) {
    if (row.type == type) return row.name;
  }
  return kernels::QuantTypeOf(type).name;
}

ModelSummary Summarize(const gguf::GgufReader& reader, std::string_view name) {
  const Metadata& metadata = reader.metadata();
  ModelSummary summary;
  summary.name = std::string(name);
  summary.architecture = ArchitectureName(reader);
  std::map<TypeId, uint64_t> elements_by_type;
  for (const TensorInfo& tensor : reader.tensors()) {
    summary.size_bytes += tensor.size_bytes;
    if (IsGeneratedTensor(tensor.name)) continue;
    summary.parameter_count += Elements(tensor);
    elements_by_type[tensor.type] += Elements(tensor);
  }
  if (!elements_by_type.empty()) {
    const auto most =
        std::max_element(elements_by_type.begin(), elements_by_type.end(),
                         [](const auto& a, const auto& b) { return a.second < b.second; });
    summary.dtype = std::string(HfDTypeName(most->first));
  }
  const TensorInfo* embedding = FindTensor(reader, "token_embd.weight");
  summary.num_layers = SmallFigure(metadata, "block_count");
  summary.num_heads = SmallFigure(metadata, "attention.head_count");
  summary.hidden_size =
      embedding != nullptr ? embedding->dims[0] : Figure(metadata, "embedding_length").value_or(0);
  summary.vocab_size = VocabSize(metadata, embedding);
  return summary;
}

}  // namespace quantized
