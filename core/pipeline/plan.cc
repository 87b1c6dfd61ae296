#include "core/pipeline/plan.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_join.h"
#include "core/base/error.h"
#include "core/base/sha256.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/base/version.h"
#include "core/gguf/layout.h"
#include "core/gguf/metadata.h"
#include "core/gguf/split_layout.h"
#include "core/pipeline/slices.h"
#include "core/quantize/recipe.h"
#include "kernels/codecs/codec.h"

namespace quantized {
namespace {

using kernels::QuantTypeOf;

// A conversion at a float level, or at that of the blocks that it is offered in, without a wish of
// the user's: what the source offers, as it stands.
bool IsAsConverted(const ModelSource& source, const Recipe& recipe, const PlanOptions& options) {
  const SelectionOptions& selection = options.selection;
  const bool is_offered = recipe.is_float() || source.blocks() == recipe.default_type;
  return is_offered && source.is_conversion() && options.overrides.empty() &&
         selection.pruned_layers.empty() && !selection.leave_output && !selection.output_type &&
         !selection.embedding_type;
}

TypeSelection AsConverted(std::span<const SourceTensor> tensors) {
  TypeSelection selection;
  for (size_t i = 0; i < tensors.size(); ++i) {
    selection.tensors.push_back({i, tensors[i].type, tensors[i].name});
  }
  return selection;
}

std::vector<TensorShape> ShapesOf(const ModelSource& source) {
  std::vector<TensorShape> shapes;
  for (const SourceTensor& tensor : source.tensors()) {
    shapes.push_back({tensor.name, tensor.type, tensor.dims});
  }
  return shapes;
}

gguf::Metadata WithOverrides(gguf::Metadata metadata, const PlanOptions& options) {
  for (const gguf::Metadata::Entry& entry : options.overrides) {
    metadata.Set(entry.key, entry.value);
  }
  return metadata;
}

// The weights for `tensor` of the source, which is to be encoded as `type`. Notes where they are
// missing in `plan`.
absl::StatusOr<std::span<const float>> ImportanceOf(const SourceTensor& tensor,
                                                    const TensorChoice& choice,
                                                    const PlanOptions& options,
                                                    QuantizePlan& plan) {
  const kernels::Codec* codec = kernels::FindCodec(choice.type);
  if (choice.type == tensor.type || codec == nullptr ||
      codec->importance == kernels::Importance::kIgnored) {
    return std::span<const float>();
  }
  std::span<const float> weights;
  if (options.importance) {
    const uint64_t matrices = tensor.dims.size() > 2 ? tensor.dims[2] : 1;
    ASSIGN_OR_RETURN(weights, options.importance->Find(tensor.name, tensor.cols(), matrices));
  }
  const bool is_needed = NeedsImportance(*plan.recipe, choice.name, choice.type) ||
                         codec->importance == kernels::Importance::kRequired;
  if (weights.empty() && is_needed && plan.missing_importance.ok()) {
    const std::string what =
        StrCat("tensor ", choice.name, ", which is to be ", QuantTypeOf(choice.type).name);
    plan.missing_importance = MakeError(
        Error::kInvalidArgument,
        options.importance
            ? StrCat("the importance matrix ", options.importance_name, " has no entry for ", what)
            : StrCat("level ", plan.recipe->name, " needs an importance matrix: there is none for ",
                     what),
        "Name a matrix of this model with --imatrix FILE");
  }
  return weights;
}

// The files of an output, with the tensors of each in their order. Without a wish to split it is
// one, of the name that was asked for.
absl::StatusOr<std::vector<gguf::SplitFile>> LayOut(const gguf::Metadata& metadata,
                                                    std::span<const gguf::PlannedTensor> tensors,
                                                    std::span<const uint32_t> parts,
                                                    const PlanOptions& options) {
  if (options.keep_split) return gguf::PlanKeptSplit(metadata, tensors, parts);
  if (options.split_max_bytes > 0) {
    return gguf::PlanSplitBySize(metadata, tensors, options.split_max_bytes);
  }
  std::vector<gguf::SplitFile> files(1);
  files[0].tensor_count = tensors.size();
  ASSIGN_OR_RETURN(files[0].layout, gguf::Plan(metadata, tensors));
  return files;
}

std::filesystem::path PathOf(const gguf::SplitFile& file,
                             const std::filesystem::path& output_path) {
  if (file.suffix.empty()) return output_path;
  const std::filesystem::path stem =
      output_path.extension() == ".gguf" ? output_path.stem() : output_path.filename();
  return output_path.parent_path() / (stem.string() + file.suffix);
}

std::string Fingerprint(const ModelSource& source, const QuantizePlan& plan,
                        const std::filesystem::path& output_path, const PlanOptions& options) {
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
  if (options.importance) add(options.importance->Hash());
  return hash.HexDigest();
}

}  // namespace

absl::StatusOr<PlanOptions> PlanOptions::Parse(const GgufOptions& options) {
  PlanOptions parsed;
  SelectionOptions& selection = parsed.selection;
  if (!options.output_tensor_type.empty()) {
    ASSIGN_OR_RETURN(selection.output_type,
                     ParseTensorType("--output-tensor-type", options.output_tensor_type));
  }
  if (!options.token_embedding_type.empty()) {
    ASSIGN_OR_RETURN(selection.embedding_type,
                     ParseTensorType("--token-embedding-type", options.token_embedding_type));
  }
  for (const std::string& text : options.tensor_types) {
    ASSIGN_OR_RETURN(TensorTypeOverride one, ParseTensorTypeOverride(text));
    selection.tensor_types.push_back(std::move(one));
  }
  for (const std::string& text : options.override_kv) {
    ASSIGN_OR_RETURN(gguf::Metadata::Entry entry, ParseMetadataOverride(text));
    parsed.overrides.push_back(std::move(entry));
  }
  selection.leave_output = options.leave_output_tensor;
  selection.pure = options.pure;
  selection.allow_requantize = options.allow_requantize;
  selection.pruned_layers = options.prune_layers;
  selection.keep_order = options.keep_split;
  parsed.keep_split = options.keep_split;
  parsed.split_max_bytes = options.split_max_bytes;
  if (!options.imatrix_paths.empty()) {
    ASSIGN_OR_RETURN(const ImportanceFile file, ReadImportance(options));
    RETURN_IF_ERROR(parsed.UseImportance(file, absl::StrJoin(options.imatrix_names, ","), options));
  }
  return parsed;
}

absl::Status PlanOptions::UseImportance(const ImportanceFile& file, std::string name,
                                        const GgufOptions& options) {
  ASSIGN_OR_RETURN(ImportanceMatrix matrix,
                   ImportanceMatrix::Make(file, name.empty() ? "the importance matrix" : name,
                                          {options.include_weights, options.exclude_weights}));
  importance_name = std::move(name);
  importance.reset();
  if (!matrix.empty()) importance = std::move(matrix);
  selection.has_importance = importance.has_value();
  return absl::OkStatus();
}

absl::StatusOr<ImportanceFile> ReadImportance(const GgufOptions& options) {
  ImportanceFile sum;
  for (const std::filesystem::path& path : options.imatrix_paths) {
    ASSIGN_OR_RETURN(const ImportanceFile file, OpenImportanceFile(path));
    RETURN_IF_ERROR(AddImportance(file, path.string(), sum));
  }
  return sum;
}

absl::StatusOr<QuantizePlan> MakePlan(const ModelSource& source, const Recipe& recipe,
                                      const std::filesystem::path& output_path,
                                      const PlanOptions& options) {
  if (recipe.is_copy() && source.is_conversion()) {
    return MakeError(Error::kInvalidArgument, "level COPY is for GGUF files",
                     "Use F32, F16 or BF16 for a Hugging Face directory");
  }
  const bool as_converted = IsAsConverted(source, recipe, options);
  const std::vector<TensorShape> shapes = ShapesOf(source);
  TypeSelection selection;
  gguf::Metadata metadata = source.metadata();
  if (as_converted) {
    selection = AsConverted(source.tensors());
  } else {
    ASSIGN_OR_RETURN(selection, SelectTypes(recipe, WithOverrides(metadata, options), shapes,
                                            options.selection));
    gguf::Metadata matrix_keys;
    if (options.importance)
      options.importance->AppendMetadata(options.importance_name, matrix_keys);
    metadata = QuantizedMetadata(metadata, recipe, shapes, options.overrides, matrix_keys.entries(),
                                 selection.layers_left);
  }

  QuantizePlan plan;
  plan.recipe = &recipe;
  std::vector<gguf::PlannedTensor> tensors;
  std::vector<uint32_t> parts;
  for (const TensorChoice& choice : selection.tensors) {
    const SourceTensor& tensor = source.tensors()[choice.tensor];
    tensors.push_back({choice.name, choice.type, tensor.dims});
    parts.push_back(tensor.part);
  }
  ASSIGN_OR_RETURN(std::vector<gguf::SplitFile> files, LayOut(metadata, tensors, parts, options));

  plan.output_path = output_path;
  std::set<int64_t> layers;
  uint64_t values = 0, tensor_bytes = 0;
  size_t file = 0;
  for (size_t i = 0; i < selection.tensors.size(); ++i) {
    while (i == files[file].first_tensor + files[file].tensor_count) ++file;
    const gguf::GgufLayout::Placement& place =
        files[file].layout.tensors[i - files[file].first_tensor];
    const TensorChoice& choice = selection.tensors[i];
    const SourceTensor& tensor = source.tensors()[choice.tensor];
    ASSIGN_OR_RETURN(const std::span<const float> importance,
                     ImportanceOf(tensor, choice, options, plan));
    plan.tensors.push_back({.name = choice.name,
                            .source = choice.tensor,
                            .source_type = tensor.type,
                            .type = choice.type,
                            .rows = tensor.rows(),
                            .cols = tensor.cols(),
                            .file = file,
                            .offset = place.offset,
                            .size_bytes = place.size_bytes,
                            .layer = LayerOf(choice.name),
                            .importance = importance});
    if (plan.tensors.back().layer >= 0) layers.insert(plan.tensors.back().layer);
    values += tensor.rows() * tensor.cols();
    tensor_bytes += place.size_bytes;
  }
  plan.layers = static_cast<uint32_t>(layers.size());
  plan.source_memory_bytes = source.memory_bytes();
  plan.bits_per_weight =
      values == 0 ? 0 : 8.0 * static_cast<double>(tensor_bytes) / static_cast<double>(values);
  for (gguf::SplitFile& one : files) {
    plan.files.push_back(
        {PathOf(one, output_path), std::move(one.layout.header), one.layout.file_size_bytes});
  }
  for (const Substitution& substitution : selection.substitutions) {
    plan.substitutions.push_back({source.tensors()[substitution.tensor].name,
                                  std::string(QuantTypeOf(substitution.wanted).name),
                                  std::string(QuantTypeOf(substitution.used).name),
                                  substitution.why});
  }
  plan.fingerprint = Fingerprint(source, plan, output_path, options);
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
  uint64_t header_bytes = 0, slice_bytes = 0, source_bytes = 0;
  for (const QuantizePlan* plan : plans) {
    source_bytes = std::max(source_bytes, plan->source_memory_bytes);
    for (const OutputFile& file : plan->files) header_bytes += file.header.size();
    for (const OutputTensor& tensor : plan->tensors) {
      const uint64_t rows = std::min(SliceRows(tensor), tensor.rows);
      slice_bytes = std::max(
          slice_bytes, rows * (kernels::RowBytes(QuantTypeOf(tensor.source_type), tensor.cols) +
                               sizeof(float) * tensor.cols +
                               kernels::RowBytes(QuantTypeOf(tensor.type), tensor.cols)));
    }
  }
  return kProgramBytes + kHeaderCopies * header_bytes + threads * slice_bytes + source_bytes;
}

}  // namespace quantized
