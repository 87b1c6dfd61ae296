#include "core/pipeline/converted_folder.h"

#include <optional>
#include <unordered_set>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/sha256.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/forward/half_tensor_source.h"
#include "core/hf/config.h"
#include "core/packed/companion_files.h"
#include "core/packed/gguf_blocks.h"
#include "core/packed/recode.h"
#include "core/pipeline/directory_files.h"
#include "core/pipeline/directory_plan.h"
#include "core/pipeline/gguf_model.h"
#include "core/quantize/round_to_nearest.h"
#include "core/source/hf_summary.h"
#include "core/source/packed_weights.h"
#include "kernels/codecs/codec.h"
#include "kernels/types/quant_type.h"

namespace quantized {
namespace {

namespace fs = std::filesystem;

double RelativeError(const Matrix& weights, const QuantizedLinear& linear) {
  std::vector<float> row(weights.cols);
  double error = 0, norm = 0;
  for (size_t r = 0; r < weights.rows; ++r) {
    linear.Dequantize(r, 1, row.data());
    for (size_t i = 0; i < weights.cols; ++i) {
      const double weight = weights.at(r, i), difference = row[i] - weight;
      error += difference * difference;
      norm += weight * weight;
    }
  }
  return norm > 0 ? error / norm : 0;
}

// A directory that stays open as long as anything reads from it.
struct OpenDirectory {
  std::unique_ptr<HfWeights> weights;
  std::unique_ptr<PackedWeights> packed;
};

// The linear by the codes that `options` have for it, without a change of any weight.
absl::StatusOr<ConvertedLinear> Recoded(const QuantizedLinear& from, const PackedOptions& options) {
  if (options.sym) return ConvertedLinear{Centered(from, options.bits)};
  ConvertedLinear to{from};
  to.linear.bits = options.bits;
  return to;
}

// Blocks with minima are on a grid already, which codes with a zero point only miss by what the
// minimum is off a whole step: where that is closer than new codes, theirs stay.
absl::StatusOr<ConvertedLinear> LinearAnew(const GgufTensorSource& source,
                                           const TensorSource::Tensor& weight,
                                           const PackedOptions& options, ThreadPool& threads) {
  const uint64_t out = weight.shape[0], in = weight.shape[1];
  Matrix values(out, in);
  RETURN_IF_ERROR(source.ReadRows(weight, 0, out, values.values.data()));
  ASSIGN_OR_RETURN(ConvertedLinear made, QuantizedAnew(values, options, threads));
  const kernels::TypeId type = GgufTensorSource::TypeOf(weight);
  if (!HasMinima(type) || options.sym || options.bits != 4) return made;
  std::vector<std::byte> blocks(out * kernels::RowBytes(kernels::QuantTypeOf(type), in));
  RETURN_IF_ERROR(source.ReadBlocks(weight, 0, out, blocks));
  ASSIGN_OR_RETURN(const QuantizedLinear kept,
                   FitMinimumBlocks(ModuleOfWeight(weight.name), type, blocks, out, in));
  made.linear = CloserGroups(values, std::move(made.linear), kept);
  made.relative_error = RelativeError(values, made.linear);
  return made;
}

// The linear by the codes and scales of its blocks.
absl::StatusOr<ConvertedLinear> LinearOf(const GgufTensorSource& source,
                                         const TensorSource::Tensor& weight,
                                         const PackedOptions& options) {
  const uint64_t out = weight.shape[0], in = weight.shape[1];
  ASSIGN_OR_RETURN(QuantizedLinear linear, LinearOfBlocks(source, weight, 0, out, options.bits));
  const int64_t group_size = options.group_size;
  return ConvertedLinear{
      Regrouped(std::move(linear), group_size < 0 ? in : static_cast<size_t>(group_size))};
}

// `tensor` in float16.
CheckpointTensor HalfTensor(const std::shared_ptr<GgufModel>& model,
                            const TensorSource::Tensor& tensor) {
  const uint64_t cols = tensor.shape.back();
  const auto read = [model, &tensor, cols](uint64_t first_byte,
                                           std::span<std::byte> out) -> absl::Status {
    const uint64_t row_bytes = cols * sizeof(uint16_t);
    CHECK(first_byte % row_bytes == 0 && out.size() % row_bytes == 0);
    std::vector<float> values(out.size() / sizeof(uint16_t));
    RETURN_IF_ERROR(
        HalfTensorSource(*model->tensors)
            .ReadRows(tensor, first_byte / row_bytes, out.size() / row_bytes, values.data()));
    kernels::BestEncoder (*kernels::FindCodec(kernels::TypeId::kF16))(
        values.data(), /*importance=*/nullptr, /*rows=*/1, values.size(), out.data());
    return absl::OkStatus();
  };
  return {.name = tensor.name,
          .shape = tensor.shape,
          .file = model->source->summary().name,
          .dtype = DType::kF16,
          .read = read};
}

}  // namespace

absl::StatusOr<ConvertedLinear> QuantizedAnew(const Matrix& weights, const PackedOptions& options,
                                              ThreadPool& threads) {
  GridOptions grid;
  grid.bits = options.bits;
  grid.group_size = options.group_size < 0 ? 0 : static_cast<size_t>(options.group_size);
  grid.form = options.sym ? kernels::RangeForm::kSymmetric : kernels::RangeForm::kWithZero;
  grid.avoid_zero_point_zero =
      options.method == PackedMethod::kGptq && !options.sym && options.version == GptqVersion::kV1;
  grid.search = RangeSearch::kPlain;
  ASSIGN_OR_RETURN(QuantizedLinear linear, RoundToNearest(weights, grid, {}, threads));
  const double error = RelativeError(weights, linear);
  return ConvertedLinear{std::move(linear), error};
}

absl::StatusOr<ConvertedFolder> FolderOfPacked(const fs::path& directory,
                                               const Conversion& conversion) {
  ASSIGN_OR_RETURN(const HfConfig config, HfConfig::Read(directory));
  ASSIGN_OR_RETURN(const std::optional<PackedScheme> scheme, PackedSchemeOf(config));
  if (!scheme) {
    return MakeError(Error::kUnsupportedConversion,
                     StrCat(directory.string(), " is no AWQ or GPTQ directory"),
                     "llm-quantize convert --list shows what can be made");
  }
  const auto open = std::make_shared<OpenDirectory>();
  ASSIGN_OR_RETURN(open->weights, HfWeights::Open(directory));
  ASSIGN_OR_RETURN(open->packed, PackedWeights::Open(*open->weights, *scheme),
                   << directory.string());

  ConvertedFolder folder;
  folder.source = open;
  folder.config = config.file();
  folder.companions_from = directory;
  ASSIGN_OR_RETURN(folder.summary, SummarizeHf(config, *open->weights, HfModelName(directory)));
  const PackedWeights* packed = open->packed.get();
  const PackedOptions options = conversion.packed;
  std::unordered_set<std::string> weights;
  for (size_t i = 0; i < packed->modules().size(); ++i) {
    const PackedModule& module = packed->modules()[i];
    weights.insert(StrCat(module.name, ".weight"));
    ConvertedFolder::Linear& linear = folder.linears.emplace_back();
    linear.shape = {.name = module.name, .out = module.out, .in = module.in};
    linear.is_anew = conversion.anew.contains(module.name);
    const bool anew = linear.is_anew;
    linear.make = [=](ThreadPool& threads) -> absl::StatusOr<ConvertedLinear> {
      ASSIGN_OR_RETURN(const auto loaded, packed->Load(i));
      if (anew) return QuantizedAnew(Decoded(*loaded), options, threads);
      return Recoded(*loaded, options);
    };
  }
  ASSIGN_OR_RETURN(std::vector<CheckpointTensor> tensors, packed->Tensors(kernels::TypeId::kF32),
                   << directory.string());
  for (CheckpointTensor& tensor : tensors) {
    if (!weights.contains(tensor.name)) folder.others.push_back(std::move(tensor));
  }

  ASSIGN_OR_RETURN(folder.companions, CompanionFiles(directory));
  Sha256 hash;
  RETURN_IF_ERROR(open->weights->Fingerprint(hash));
  hash.Update(folder.config.dump());
  RETURN_IF_ERROR(HashFiles(directory, folder.companions, hash));
  folder.fingerprint = hash.HexDigest();
  folder.card = SourceCard(directory);
  return folder;
}

absl::StatusOr<ConvertedFolder> FolderOfGguf(const fs::path& file, const Conversion& conversion,
                                             std::string_view pre_tokenizer) {
  ASSIGN_OR_RETURN(GgufModel opened, OpenGgufModel(file), << file.string());
  const auto model = std::make_shared<GgufModel>(std::move(opened));
  ConvertedFolder folder;
  folder.source = model;
  folder.summary = model->source->summary();
  folder.fingerprint = model->source->fingerprint();
  folder.config = model->hf_config.file();
  ASSIGN_OR_RETURN(folder.files, RebuildHfFiles(*model->source, pre_tokenizer), << file.string());
  std::unordered_set<const TensorSource::Tensor*> linears;
  const std::vector<const TensorSource::Tensor*> weights = LinearsOf(*model);
  for (const TensorSource::Tensor* weight : weights) {
    linears.insert(weight);
    ConvertedFolder::Linear& linear = folder.linears.emplace_back();
    linear.shape = {
        .name = ModuleOfWeight(weight->name), .out = weight->shape[0], .in = weight->shape[1]};
    RETURN_IF_ERROR(CheckPackableWidths(linear.shape, Error::kUnsupportedConversion,
                                        "Convert to another level of gguf"))
        << file.string();
    linear.is_anew = conversion.anew.contains(linear.shape.name);
    const bool anew = linear.is_anew;
    const PackedOptions options = conversion.packed;
    linear.make = [model, weight, anew, options](ThreadPool& threads) {
      return anew ? LinearAnew(*model->tensors, *weight, options, threads)
                  : LinearOf(*model->tensors, *weight, options);
    };
  }
  for (const TensorSource::Tensor* tensor : model->tensors->tensors()) {
    if (!linears.contains(tensor)) folder.others.push_back(HalfTensor(model, *tensor));
  }
  return folder;
}

}  // namespace quantized
