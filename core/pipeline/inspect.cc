#include "core/pipeline/inspect.h"

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/gguf/file_type.h"
#include "core/gguf/reader.h"
#include "core/hf/config.h"
#include "core/source/gguf_source.h"
#include "core/source/gguf_summary.h"
#include "core/source/hf_summary.h"
#include "core/source/hf_weights.h"
#include "core/source/locate.h"
#include "core/tensor/dtype.h"

namespace quantized {
namespace {

using Json = nlohmann::ordered_json;

// Names under which model families keep the longest text that they take.
constexpr std::string_view kContextLengthNames[] = {"max_position_embeddings", "n_positions",
                                                    "max_seq_len", "seq_length", "n_ctx"};

struct ModelFacts {
  ModelSummary summary;
  std::map<std::string, uint64_t> tensors_by_type;  // "BF16" → how many
  std::optional<uint64_t> context_length;
  uint64_t files = 0;
};

Json ContractKeys(const ModelSummary& summary) {
  return {
      {"model_name", summary.name},
      {"architecture", summary.architecture},
      {"parameter_count", summary.parameter_count},
      {"hidden_size", summary.hidden_size},
      {"num_layers", summary.num_layers},
      {"num_heads", summary.num_heads},
      {"vocab_size", summary.vocab_size},
      {"torch_dtype", summary.dtype},
  };
}

// {"Q4_K": 181, "F32": 61}: most frequent first, then by name.
Json TypeCounts(const std::map<std::string, uint64_t>& counts) {
  std::vector<std::pair<std::string, uint64_t>> rows(counts.begin(), counts.end());
  std::stable_sort(rows.begin(), rows.end(),
                   [](const auto& a, const auto& b) { return a.second > b.second; });
  Json json = Json::object();
  for (const auto& [type, count] : rows) json[type] = count;
  return json;
}

// What both formats tell, in the order of the header.
void AddStorageKeys(const ModelFacts& facts, Json& json) {
  json["size_bytes"] = facts.summary.size_bytes;
  if (facts.summary.parameter_count > 0) {
    json["bits_per_weight"] = 8.0 * static_cast<double>(facts.summary.size_bytes) /
                              static_cast<double>(facts.summary.parameter_count);
  }
  if (facts.context_length) json["context_length"] = *facts.context_length;
}

void AddTensorKeys(const ModelFacts& facts, Json& json) {
  uint64_t tensors = 0;
  for (const auto& [type, count] : facts.tensors_by_type) tensors += count;
  json["tensor_count"] = tensors;
  json["tensor_types"] = TypeCounts(facts.tensors_by_type);
  json["files"] = facts.files;
}

void AddText(const gguf::Metadata& metadata, std::string_view key, std::string_view name,
             Json& json) {
  if (const auto* text = metadata.Get<std::string>(key)) json[std::string(name)] = *text;
}

absl::StatusOr<Json> InspectGguf(const std::filesystem::path& path) {
  ASSIGN_OR_RETURN(const std::unique_ptr<gguf::GgufReader> reader, gguf::GgufReader::Open(path));
  const gguf::Metadata& metadata = reader->metadata();
  ModelFacts facts;
  facts.summary = Summarize(*reader, GgufModelName(path));
  facts.files = reader->parts().size();
  for (const gguf::TensorInfo& tensor : reader->tensors()) {
    ++facts.tensors_by_type[std::string(kernels::QuantTypeOf(tensor.type).name)];
  }
  if (const auto* architecture = metadata.Get<std::string>("general.architecture")) {
    facts.context_length = metadata.GetUnsigned(StrCat(*architecture, ".context_length"));
  }
  Json json = ContractKeys(facts.summary);
  json["format"] = "gguf";
  const auto file_type = metadata.GetUnsigned("general.file_type");
  if (file_type && !gguf::FileTypeName(*file_type).empty()) {
    json["quantization_level"] = gguf::FileTypeName(*file_type);
  }
  AddStorageKeys(facts, json);
  AddText(metadata, "tokenizer.ggml.model", "tokenizer_model", json);
  AddText(metadata, "tokenizer.ggml.pre", "tokenizer_pre", json);
  AddTensorKeys(facts, json);
  return json;
}

absl::StatusOr<Json> InspectHf(const std::filesystem::path& directory) {
  ASSIGN_OR_RETURN(const HfConfig config, HfConfig::Read(directory));
  ASSIGN_OR_RETURN(const std::unique_ptr<HfWeights> weights, HfWeights::Open(directory));
  ModelFacts facts;
  ASSIGN_OR_RETURN(facts.summary, SummarizeHf(config, *weights, HfModelName(directory)));
  ASSIGN_OR_RETURN(facts.context_length, config.Uint32(kContextLengthNames));
  std::set<const safetensors::SafetensorsReader*> files;
  for (const HfWeights::Tensor& tensor : weights->tensors()) {
    ++facts.tensors_by_type[std::string(RowOf(tensor.info->dtype).name)];
    files.insert(tensor.file);
  }
  facts.files = files.size();
  Json json = ContractKeys(facts.summary);
  json["format"] = "safetensors";
  AddStorageKeys(facts, json);
  AddTensorKeys(facts, json);
  return json;
}

}  // namespace

absl::StatusOr<nlohmann::ordered_json> Inspect(const std::filesystem::path& path) {
  ASSIGN_OR_RETURN(const LocatedModel model, LocateModel(path));
  return model.kind == ModelKind::kGgufFile ? InspectGguf(model.path) : InspectHf(model.path);
}

}  // namespace quantized
