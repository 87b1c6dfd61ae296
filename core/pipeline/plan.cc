#include "core/pipeline/plan.h"

#include <algorithm>
#include <set>
#include <utility>

#include "core/base/sha256.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/base/version.h"
#include "core/gguf/layout.h"
#include "core/gguf/metadata.h"
#include "core/pipeline/slices.h"
#include "core/quantize/recipe.h"

namespace quantized {
namespace {

using kernels::QuantTypeOf;

constexpr uint32_t kQuantizationVersion = 2;

// The reference quantizer's changes: two keys move to the end, those of a split model go.
gguf::Metadata QuantizedMetadata(const gguf::Metadata& source, const Recipe& recipe) {
  gguf::Metadata metadata = source;
  metadata.SetLast("general.quantization_version", kQuantizationVersion);
  metadata.SetLast("general.file_type", recipe.file_type);
  for (const char* key : {"split.no", "split.count", "split.tensors.count"}) metadata.Remove(key);
  return metadata;
}

// A conversion at a float level: what the source offers, as it stands.
TypeSelection AsConverted(std::span<const SourceTensor> tensors) {
  TypeSelection selection;
  for (size_t i = 0; i < tensors.size(); ++i) selection.tensors.push_back({i, tensors[i].type});
  return selection;
}

absl::StatusOr<TypeSelection> Select(const ModelSource& source, const Recipe& recipe) {
  std::vector<TensorShape> shapes;
  for (const SourceTensor& tensor : source.tensors()) {
    shapes.push_back({tensor.name, tensor.type, tensor.dims});
  }
  return SelectTypes(recipe, source.metadata(), shapes);
}

std::string Fingerprint(const ModelSource& source, const QuantizePlan& plan,
                        const std::filesystem::path& output_path) {
  Sha256 hash;
  // Each part with its length, so that no two lists of parts give the same bytes.
  const auto add = [&hash](std::string_view part) {
    hash.Update(StrCat(part.size(), ":"));
    hash.Update(part);
  };
  add(kVersion);
  add(source.fingerprint());
  add(plan.recipe->name);
  for (const OutputFile& file : plan.files) add(file.header);
  add(StrCat(kSliceValues));
  add(output_path.string());
  return hash.HexDigest();
}

}  // namespace

absl::StatusOr<QuantizePlan> MakePlan(const ModelSource& source, const Recipe& recipe,
                                      const std::filesystem::path& output_path) {
  const bool as_converted = recipe.is_float() && source.is_conversion();
  TypeSelection selection;
  if (as_converted) {
    selection = AsConverted(source.tensors());
  } else {
    ASSIGN_OR_RETURN(selection, Select(source, recipe));
  }

  QuantizePlan plan;
  plan.recipe = &recipe;
  std::vector<gguf::PlannedTensor> tensors;
  for (const TensorChoice& choice : selection.tensors) {
    const SourceTensor& tensor = source.tensors()[choice.tensor];
    tensors.push_back({tensor.name, choice.type, tensor.dims});
  }
  ASSIGN_OR_RETURN(
      gguf::GgufLayout layout,
      gguf::Plan(as_converted ? source.metadata() : QuantizedMetadata(source.metadata(), recipe),
                 tensors));

  std::set<int64_t> layers;
  uint64_t values = 0, tensor_bytes = 0;
  for (size_t i = 0; i < selection.tensors.size(); ++i) {
    const TensorChoice& choice = selection.tensors[i];
    const SourceTensor& tensor = source.tensors()[choice.tensor];
    plan.tensors.push_back({.name = tensor.name,
                            .source = choice.tensor,
                            .source_type = tensor.type,
                            .type = choice.type,
                            .rows = tensor.rows(),
                            .cols = tensor.cols(),
                            .offset = layout.tensors[i].offset,
                            .size_bytes = layout.tensors[i].size_bytes,
                            .layer = LayerOf(tensor.name)});
    if (plan.tensors.back().layer >= 0) layers.insert(plan.tensors.back().layer);
    values += tensor.rows() * tensor.cols();
    tensor_bytes += layout.tensors[i].size_bytes;
  }
  plan.layers = static_cast<uint32_t>(layers.size());
  plan.bits_per_weight =
      values == 0 ? 0 : 8.0 * static_cast<double>(tensor_bytes) / static_cast<double>(values);
  plan.files.push_back({output_path, std::move(layout.header), layout.file_size_bytes});
  for (const Substitution& substitution : selection.substitutions) {
    plan.substitutions.push_back({source.tensors()[substitution.tensor].name,
                                  std::string(QuantTypeOf(substitution.wanted).name),
                                  std::string(QuantTypeOf(substitution.used).name),
                                  substitution.why});
  }
  plan.fingerprint = Fingerprint(source, plan, output_path);
  return plan;
}

uint64_t QuantizePlan::SizeBytes() const {
  uint64_t size_bytes = 0;
  for (const OutputFile& file : files) size_bytes += file.size_bytes;
  return size_bytes;
}

uint64_t PlannedMemoryBytes(std::span<const QuantizePlan* const> plans, size_t threads) {
  // Program, libraries and stacks; and what the metadata takes beside the header: the source's and
  // the plan's copies of its strings, and the validation's.
  constexpr uint64_t kProgramBytes = 32 << 20;
  constexpr uint64_t kHeaderCopies = 6;
  uint64_t header_bytes = 0, slice_bytes = 0;
  for (const QuantizePlan* plan : plans) {
    for (const OutputFile& file : plan->files) header_bytes += file.header.size();
    for (const OutputTensor& tensor : plan->tensors) {
      const uint64_t rows = std::min(SliceRows(tensor), tensor.rows);
      slice_bytes = std::max(
          slice_bytes, rows * (kernels::RowBytes(QuantTypeOf(tensor.source_type), tensor.cols) +
                               sizeof(float) * tensor.cols +
                               kernels::RowBytes(QuantTypeOf(tensor.type), tensor.cols)));
    }
  }
  return kProgramBytes + kHeaderCopies * header_bytes + threads * slice_bytes;
}

}  // namespace quantized
