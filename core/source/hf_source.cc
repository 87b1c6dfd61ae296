#include "core/source/hf_source.h"

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "core/arch/architecture.h"
#include "core/arch/geometry.h"
#include "core/arch/metadata_keys.h"
#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/sha256.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/gguf/layout.h"
#include "core/hf/config.h"
#include "core/hf/front_matter.h"
#include "core/hf/json_file.h"
#include "core/hf/pooling.h"
#include "core/hf/tokenizer/tokenizer_metadata.h"
#include "core/packed/reader.h"
#include "core/source/checkpoint_tensor.h"
#include "core/source/general_metadata.h"
#include "core/source/hf_summary.h"
#include "core/source/hf_tensors.h"
#include "core/source/hf_weights.h"
#include "core/source/packed_weights.h"
#include "core/source/quantization.h"
#include "core/tensor/text.h"
#include "simdjson.h"

namespace quantized {
namespace {

using kernels::TypeId;
using nlohmann::json;

constexpr uint64_t kMaxTextBytes = 16 << 20;
constexpr uint64_t kMaxTokenizerBytes = 256 << 20;

struct ConversionType {
  TypeId type;
  uint32_t file_type;  // GGUF's general.file_type
};
constexpr ConversionType kConversionTypes[] = {
    {TypeId::kF32, 0},  {TypeId::kF16, 1},  {TypeId::kBF16, 32}, {TypeId::kQ4_0, 2},
    {TypeId::kQ4_1, 3}, {TypeId::kQ5_0, 8}, {TypeId::kQ8_0, 7}};

bool IsBlocks(TypeId type) { return kernels::QuantTypeOf(type).block_values > 1; }

constexpr uint32_t kQuantizationVersion = 2;

// The weights of a directory, and how they are offered.
struct Checkpoint {
  std::unique_ptr<HfWeights> weights;
  std::unique_ptr<PackedWeights> packed;  // of `weights`; null where none of them is packed
  std::vector<CheckpointTensor> tensors;
};

class HfSource : public ModelSource {
 public:
  HfSource(Checkpoint checkpoint, std::optional<TypeId> blocks, PlannedTensors planned,
           gguf::Metadata metadata, ModelSummary summary, std::string fingerprint)
      : checkpoint_(std::move(checkpoint)),
        blocks_(blocks),
        planned_(std::move(planned)),
        metadata_(std::move(metadata)),
        summary_(std::move(summary)),
        fingerprint_(std::move(fingerprint)) {}

  const ModelSummary& summary() const override { return summary_; }
  const gguf::Metadata& metadata() const override { return metadata_; }
  std::span<const SourceTensor> tensors() const override { return planned_.tensors; }
  const std::string& fingerprint() const override { return fingerprint_; }
  bool is_conversion() const override { return true; }
  std::optional<TypeId> blocks() const override { return blocks_; }
  uint64_t memory_bytes() const override {
    return checkpoint_.packed ? checkpoint_.packed->MemoryBytes() : 0;
  }

  absl::Status ReadRows(size_t tensor, uint64_t first_row, uint64_t rows,
                        std::span<std::byte> out) const override {
    CHECK(tensor < planned_.tensors.size());
    const ConvertedTensor& converted = planned_.converted[tensor];
    // The one row of a vector is all of its values, which ConvertedTensor counts as rows.
    const bool is_vector = planned_.tensors[tensor].dims.size() == 1;
    const uint64_t scale = is_vector ? converted.rows : 1;
    return converted.Read(first_row * scale, rows * scale, out);
  }

 private:
  const Checkpoint checkpoint_;  // planned_ reads from it
  const std::optional<TypeId> blocks_;
  const PlannedTensors planned_;
  const gguf::Metadata metadata_;
  const ModelSummary summary_;
  const std::string fingerprint_;
};

absl::StatusOr<const Architecture*> ArchitectureOf(const HfConfig& config) {
  std::string supported;
  for (const Architecture* row : AllArchitectures()) {
    StrAppend(&supported, supported.empty() ? "" : ", ", row->hf_names[0]);
  }
  const std::string& name = config.architecture();
  const Architecture* row = FindArchitecture(name);
  if (row == nullptr) {
    return MakeError(
        Error::kValidationFailed,
        StrCat("config.json: architectures: found ", name.empty() ? "nothing" : PrintableName(name),
               ", expected one of ", supported),
        "This version converts only these architectures");
  }
  return row;
}

// Kinds of model that have a known architecture but need more than its row says.
absl::Status CheckConvertible(const Architecture& architecture, const HfConfig& config,
                              std::string_view name) {
  const auto path = config.file().find("_name_or_path");
  const bool has_path = path != config.file().end() && path->is_string();
  for (const std::string& hint : {std::string(name), has_path ? path->get<std::string>() : ""}) {
    const std::string lower = absl::AsciiStrToLower(hint);
    if (!architecture.refused_name.empty() &&
        lower.find(architecture.refused_name) != std::string::npos) {
      return MakeError(Error::kNotImplemented,
                       StrCat("the name ", PrintableName(hint), " is that of a reranker, which ",
                              "this version does not convert"));
    }
  }
  return absl::OkStatus();
}

// Errors: kNotImplemented for a quantized checkpoint that is not to be read;
// kUnsupportedConversion where blocks of `type` do not hold its linears.
absl::StatusOr<Checkpoint> OpenCheckpoint(const std::filesystem::path& directory,
                                          const HfConfig& config, const SourceOptions& options) {
  const TypeId type = options.conversion_type;
  if (!options.may_be_packed) {
    RETURN_IF_ERROR(CheckIsOriginal(config, directory));
  }
  Checkpoint checkpoint;
  ASSIGN_OR_RETURN(checkpoint.weights, HfWeights::Open(directory));
  std::optional<PackedScheme> scheme;
  if (const HfQuantization* quantization = QuantizationOf(config, *checkpoint.weights)) {
    ASSIGN_OR_RETURN(scheme, PackedSchemeOf(config));
    if (!scheme) return QuantizedAlready(*quantization);
  }
  if (!scheme) {
    checkpoint.tensors = PlainTensors(*checkpoint.weights);
    return checkpoint;
  }
  ASSIGN_OR_RETURN(checkpoint.packed, PackedWeights::Open(*checkpoint.weights, *scheme));
  if (IsBlocks(type)) {
    ASSIGN_OR_RETURN(const auto fits, checkpoint.packed->BlockFits());
    const BlockFittingOfAll& fit =
        fits[std::ranges::find(BlockTypes(), type) - BlockTypes().begin()];
    if (fit.fit == BlockFit::kNone) {
      return MakeError(Error::kUnsupportedConversion,
                       StrCat(PrintableName(fit.module), " is no matrix of ",
                              kernels::QuantTypeOf(type).name, " blocks: ", fit.why));
    }
  }
  ASSIGN_OR_RETURN(checkpoint.tensors,
                   checkpoint.packed->Tensors(IsBlocks(type) ? type : TypeId::kF32));
  return checkpoint;
}

// The text of a file that may be missing; what cannot be read counts as missing.
std::string OptionalText(const std::filesystem::path& path) {
  absl::StatusOr<std::string> text = ReadFile(path, kMaxTextBytes);
  return text.ok() ? *std::move(text) : "";
}

json OptionalObject(const std::filesystem::path& path) {
  absl::StatusOr<json> object = ReadJsonObject(path, kMaxTextBytes);
  return object.ok() ? *std::move(object) : json::object();
}

// How many rows of the embedding have a token: those of the SentencePiece model, else all entries
// of tokenizer.json.
absl::StatusOr<uint64_t> VocabularyOf(const std::filesystem::path& directory,
                                      const gguf::Metadata& tokenizer) {
  std::error_code ignored;
  if (std::filesystem::is_regular_file(directory / "tokenizer.model", ignored)) {
    const auto* tokens = tokenizer.Get<gguf::Array>("tokenizer.ggml.tokens");
    CHECK(tokens != nullptr);
    return std::visit([](const auto& list) -> uint64_t { return list.size(); }, *tokens);
  }
  ASSIGN_OR_RETURN(std::string text, ReadFile(directory / "tokenizer.json", kMaxTokenizerBytes));
  text.reserve(text.size() + simdjson::SIMDJSON_PADDING);
  simdjson::ondemand::parser parser;
  simdjson::ondemand::document file;
  simdjson::ondemand::array added_tokens;
  simdjson::ondemand::object entries;
  size_t vocabulary = 0, added = 0;
  if (parser.iterate(text).get(file) != simdjson::SUCCESS ||
      file["added_tokens"].get_array().get(added_tokens) != simdjson::SUCCESS ||
      added_tokens.count_elements().get(added) != simdjson::SUCCESS ||
      file["model"]["vocab"].get_object().get(entries) != simdjson::SUCCESS ||
      entries.count_fields().get(vocabulary) != simdjson::SUCCESS) {
    return MakeError(Error::kValidationFailed,
                     "tokenizer.json: expected model.vocab and added_tokens, found them damaged or "
                     "missing");
  }
  return vocabulary + added;
}

absl::StatusOr<gguf::Metadata> TokenizerMetadata(const std::filesystem::path& directory,
                                                 const Architecture& architecture,
                                                 const HfConfig& config, const Geometry& geometry,
                                                 const SourceOptions& options) {
  gguf::Metadata metadata;
  const HfTokenizerContext context = {.config = config.file(),
                                      .vocab_size = geometry.vocabulary,
                                      .architecture = std::string(architecture.gguf_name),
                                      .pre_tokenizer_override = options.pre_tokenizer};
  RETURN_IF_ERROR(AppendTokenizerMetadata(directory, context, metadata));
  return metadata;
}

uint64_t ParameterCount(std::span<const SourceTensor> tensors) {
  uint64_t count = 0;
  for (const SourceTensor& tensor : tensors) count += tensor.rows() * tensor.cols();
  return count;
}

// Stacked tensors count as one of their experts.
uint64_t ParameterCountWithOneExpert(std::span<const SourceTensor> tensors) {
  uint64_t count = 0;
  for (const SourceTensor& tensor : tensors) {
    const uint64_t experts = tensor.dims.size() == 3 ? tensor.dims[2] : 1;
    count += tensor.rows() * tensor.cols() / experts;
  }
  return count;
}

// How many experts the stacked tensors have; 0 where there are none.
uint64_t ExpertCount(std::span<const SourceTensor> tensors) {
  uint64_t experts = 0;
  for (const SourceTensor& tensor : tensors) {
    if (tensor.dims.size() == 3) experts = tensor.dims[2];
  }
  return experts;
}

// The header of the file that would be written tells everything about tensors and metadata; the
// files' times tell whether the values are still the same.
absl::StatusOr<std::string> FingerprintOf(const gguf::Metadata& metadata,
                                          std::span<const SourceTensor> tensors,
                                          const HfWeights& weights) {
  std::vector<gguf::PlannedTensor> planned;
  for (const SourceTensor& tensor : tensors) {
    planned.push_back({tensor.name, tensor.type, tensor.dims});
  }
  ASSIGN_OR_RETURN(const gguf::GgufLayout layout, gguf::Plan(metadata, planned));
  Sha256 hash;
  hash.Update(layout.header);
  RETURN_IF_ERROR(weights.Fingerprint(hash));
  return hash.HexDigest();
}

}  // namespace

absl::StatusOr<std::unique_ptr<ModelSource>> OpenHfSource(const std::filesystem::path& directory,
                                                          const SourceOptions& options) {
  const auto conversion =
      std::ranges::find(kConversionTypes, options.conversion_type, &ConversionType::type);
  if (conversion == std::end(kConversionTypes) ||
      (IsBlocks(options.conversion_type) && !options.may_be_packed)) {
    return MakeError(Error::kInvalidArgument, "a conversion is to F32, F16 or BF16");
  }
  const std::string name = HfModelName(directory);
  ASSIGN_OR_RETURN(const HfConfig config, HfConfig::Read(directory));
  ASSIGN_OR_RETURN(const Architecture* architecture, ArchitectureOf(config));
  RETURN_IF_ERROR(CheckConvertible(*architecture, config, name));
  ASSIGN_OR_RETURN(const Geometry geometry, GeometryOf(config));
  ASSIGN_OR_RETURN(Checkpoint checkpoint, OpenCheckpoint(directory, config, options));
  ASSIGN_OR_RETURN(
      PlannedTensors planned,
      PlanTensors(*architecture, config, geometry, checkpoint.tensors, options.conversion_type));
  ASSIGN_OR_RETURN(const gguf::Metadata tokenizer,
                   TokenizerMetadata(directory, *architecture, config, geometry, options));
  if (std::ranges::any_of(planned.converted, [](const ConvertedTensor& tensor) {
        return tensor.transform == Transform::kCutToVocabulary;
      })) {
    ASSIGN_OR_RETURN(const uint64_t vocabulary, VocabularyOf(directory, tokenizer));
    CutToVocabulary(vocabulary, planned);
  }

  gguf::Metadata metadata;
  metadata.Set("general.architecture", std::string(architecture->gguf_name));
  RETURN_IF_ERROR(AppendLongRopeMetadata(*architecture, config, metadata));
  metadata.Set("general.type", std::string("model"));
  const json card = ParseFrontMatter(OptionalText(directory / "README.md"));
  const json generation_config = OptionalObject(directory / "generation_config.json");
  AppendGeneralMetadata(
      {.card = card,
       .config = config.file(),
       .generation_config = generation_config,
       .directory_name = name,
       .parameters = ParameterCount(planned.tensors),
       .experts = ExpertCount(planned.tensors),
       .parameters_with_one_expert = ParameterCountWithOneExpert(planned.tensors)},
      metadata);
  RETURN_IF_ERROR(
      AppendArchitectureMetadata(*architecture, config, conversion->file_type, metadata));
  if (architecture->may_pool) {
    ASSIGN_OR_RETURN(const std::optional<uint32_t> pooling, ReadPoolingType(directory));
    if (pooling) metadata.Set(StrCat(architecture->gguf_name, ".pooling_type"), *pooling);
  }
  metadata.Set("general.quantization_version", kQuantizationVersion);
  for (const gguf::Metadata::Entry& entry : tokenizer.entries()) {
    metadata.Set(entry.key, entry.value);
  }

  ASSIGN_OR_RETURN(ModelSummary summary, SummarizeHf(config, *checkpoint.weights, name));
  ASSIGN_OR_RETURN(std::string fingerprint,
                   FingerprintOf(metadata, planned.tensors, *checkpoint.weights));
  std::optional<TypeId> blocks;
  if (IsBlocks(options.conversion_type)) blocks = options.conversion_type;
  return std::unique_ptr<ModelSource>(
      std::make_unique<HfSource>(std::move(checkpoint), blocks, std::move(planned),
                                 std::move(metadata), std::move(summary), std::move(fingerprint)));
}

}  // namespace quantized
