#include "core/pipeline/inspect.h"

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/base/file.h"
#include "core/base/machine.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/gguf/file_type.h"
#include "core/gguf/reader.h"
#include "core/hf/config.h"
#include "core/hf/json_file.h"
#include "core/packed/reader.h"
#include "core/pipeline/model_check.h"
#include "core/source/gguf_source.h"
#include "core/source/gguf_summary.h"
#include "core/source/hf_summary.h"
#include "core/source/hf_weights.h"
#include "core/source/locate.h"
#include "core/source/packed_weights.h"
#include "core/source/quantization.h"
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

// One for each tensor, or packed linear.
struct ListedTensor {
  std::string name, type;
  std::vector<uint64_t> shape;  // outermost first
  uint64_t size_bytes = 0;
};

Json TensorList(const std::vector<ListedTensor>& tensors) {
  Json list = Json::array();
  for (const ListedTensor& tensor : tensors) {
    list.push_back({{"name", tensor.name},
                    {"type", tensor.type},
                    {"shape", tensor.shape},
                    {"size_bytes", tensor.size_bytes}});
  }
  return list;
}

absl::StatusOr<Json> InspectGguf(const std::filesystem::path& path, bool list) {
  ASSIGN_OR_RETURN(const std::unique_ptr<gguf::GgufReader> reader, gguf::GgufReader::Open(path));
  const gguf::Metadata& metadata = reader->metadata();
  ModelFacts facts;
  facts.summary = Summarize(*reader, GgufModelName(path));
  facts.files = reader->parts().size();
  std::vector<ListedTensor> tensors;
  for (const gguf::TensorInfo& tensor : reader->tensors()) {
    const std::string type(kernels::QuantTypeOf(tensor.type).name);
    ++facts.tensors_by_type[type];
    tensors.push_back(
        {tensor.name, type, {tensor.dims.rbegin(), tensor.dims.rend()}, tensor.size_bytes});
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
  json["chat_template"] = metadata.Get<std::string>("tokenizer.chat_template") != nullptr;
  AddTensorKeys(facts, json);
  if (list) json["tensors"] = TensorList(tensors);
  return json;
}

// What a directory's tokenizer files tell, which may be missing or damaged. A chat template has
// three places: a file of its own, processors' chat_template.json, tokenizer_config.json.
void AddTokenizerKeys(const std::filesystem::path& directory, Json& json) {
  const auto read = [&](const char* file) {
    constexpr uint64_t kMaxBytes = 64 << 20;
    const auto object = ReadJsonObject(directory / file, kMaxBytes);
    return object.ok() ? *object : nlohmann::json::object();
  };
  const auto has_template = [](const nlohmann::json& object) {
    return !object.value("chat_template", nlohmann::json()).is_null();
  };
  const nlohmann::json config = read("tokenizer_config.json");
  const nlohmann::json tokenizer = config.value("tokenizer_class", nlohmann::json());
  if (tokenizer.is_string()) json["tokenizer_class"] = tokenizer.get<std::string>();
  json["chat_template"] = Exists(directory / "chat_template.jinja") ||
                          has_template(read("chat_template.json")) || has_template(config);
}

// The first of `names` that is there with another value than null.
Json Member(const nlohmann::json& object, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    const auto found = object.find(name);
    if (found != object.end() && !found->is_null()) return *found;
  }
  return nullptr;
}

void AddSettings(const PackedScheme& scheme, const nlohmann::json& said, Json& json) {
  json["quantization_level"] = StrCat(scheme.bits, "bit");
  Json settings = {{"group_size", scheme.group_size}};
  if (scheme.method == PackedMethod::kGptq) {
    settings["symmetric"] = scheme.sym;
    settings["act_order"] = Member(said, {"desc_act"}) == true;
    settings["version"] = scheme.tagged_version == GptqVersion::kV1 ? 1 : 2;
  } else {
    settings["symmetric"] = false;
    settings["version"] = "gemm";
  }
  json["quantization_settings"] = std::move(settings);
}

// Of a form of AWQ or GPTQ that is not read: what is said in plain values.
void AddSaidSettings(const nlohmann::json& said, Json& json) {
  const Json bits = Member(said, {"bits", "w_bit"});
  if (bits.is_number_integer()) json["quantization_level"] = StrCat(bits.dump(), "bit");
  Json settings = Json::object();
  const Json group_size = Member(said, {"group_size", "q_group_size"});
  if (group_size.is_number_integer()) settings["group_size"] = group_size;
  const Json version = Member(said, {"version", "checkpoint_format", "format"});
  if (version.is_string()) settings["version"] = version;
  if (!settings.empty()) json["quantization_settings"] = std::move(settings);
}

// `format` and the keys on quantization. `scheme`: how the linears are packed, where it is read.
void AddFormatKeys(const HfQuantization* quantization, const std::optional<PackedScheme>& scheme,
                   Json& json) {
  const std::string method = quantization == nullptr ? "" : quantization->method;
  const bool is_ours =
      method == NameOf(PackedMethod::kAwq) || method == NameOf(PackedMethod::kGptq);
  json["format"] = is_ours ? method : "safetensors";
  if (scheme) {
    AddSettings(*scheme, quantization->fields, json);
  } else if (is_ours) {
    AddSaidSettings(quantization->fields, json);
  } else if (!method.empty()) {
    json["quantization_method"] = method;
  }
}

// The tensors as they are stored, those of a packed linear as one.
std::vector<ListedTensor> TensorsOf(const HfWeights& weights, const PackedWeights* packed) {
  std::unordered_map<std::string_view, size_t> place;  // of a linear in the list, by module
  std::vector<ListedTensor> tensors;
  std::unordered_map<std::string_view, const PackedModule*> modules;
  for (size_t i = 0; packed != nullptr && i < packed->modules().size(); ++i) {
    modules.emplace(packed->modules()[i].name, &packed->modules()[i]);
  }
  for (const HfWeights::Tensor& tensor : weights.tensors()) {
    const std::string_view name = tensor.info->name;
    const size_t dot = std::min(name.rfind('.'), name.size());
    const auto module = modules.find(name.substr(0, dot));
    if (module == modules.end() || name.substr(dot) == ".bias") {
      tensors.push_back({tensor.info->name, std::string(RowOf(tensor.info->dtype).name),
                         tensor.info->shape, tensor.info->size_bytes});
      continue;
    }
    const auto [at, is_new] = place.emplace(module->first, tensors.size());
    if (is_new) {
      const PackedModule& linear = *module->second;
      tensors.push_back(
          {StrCat(linear.name, ".weight"), StrCat(linear.bits, "-bit"), {linear.out, linear.in}});
    }
    tensors[at->second].size_bytes += tensor.info->size_bytes;
  }
  return tensors;
}

absl::StatusOr<Json> InspectHf(const std::filesystem::path& directory, bool list) {
  ASSIGN_OR_RETURN(const HfConfig config, HfConfig::Read(directory));
  ASSIGN_OR_RETURN(const std::unique_ptr<HfWeights> weights, HfWeights::Open(directory));
  ASSIGN_OR_RETURN(const std::optional<PackedScheme> scheme, ReadableScheme(config, *weights));
  std::unique_ptr<PackedWeights> packed;
  if (scheme) {
    ASSIGN_OR_RETURN(packed, PackedWeights::Open(*weights, *scheme));
  }
  ModelFacts facts;
  ASSIGN_OR_RETURN(facts.summary, SummarizeHf(config, *weights, HfModelName(directory)));
  ASSIGN_OR_RETURN(facts.context_length, config.Uint32(kContextLengthNames));
  std::set<const safetensors::SafetensorsReader*> files;
  for (const HfWeights::Tensor& tensor : weights->tensors()) files.insert(tensor.file);
  facts.files = files.size();
  const std::vector<ListedTensor> tensors = TensorsOf(*weights, packed.get());
  for (const ListedTensor& tensor : tensors) ++facts.tensors_by_type[tensor.type];
  Json json = ContractKeys(facts.summary);
  AddFormatKeys(QuantizationOf(config, *weights), scheme, json);
  AddStorageKeys(facts, json);
  AddTokenizerKeys(directory, json);
  AddTensorKeys(facts, json);
  if (list) json["tensors"] = TensorList(tensors);
  return json;
}

std::string_view NameOf(UndoneScales::State state) {
  switch (state) {
    case UndoneScales::State::kNone:
      return "";
    case UndoneScales::State::kUndone:
      return "undone";
    case UndoneScales::State::kFolded:
      return "folded";
    case UndoneScales::State::kNotUndone:
      return "not undone";
  }
  return "";
}

void AddDifference(const ModelDifference& difference, Json& json) {
  if (difference.scales_undone) json["scales_undone"] = *difference.scales_undone;
  json["relative_error"] = difference.relative_error;
  const auto number = [](const std::optional<double>& value) {
    return value ? Json(*value) : Json(nullptr);
  };
  Json errors = Json::array();
  for (const TensorDifference& tensor : difference.tensors) {
    Json& row = errors.emplace_back(Json{{"name", tensor.name},
                                         {"type", tensor.type},
                                         {"relative_error", number(tensor.relative_error)},
                                         {"max_error", number(tensor.max_error)}});
    if (difference.scales_undone == true) row["scales"] = NameOf(tensor.scales);
  }
  json["tensor_errors"] = std::move(errors);
}

}  // namespace

absl::StatusOr<nlohmann::ordered_json> Inspect(const std::filesystem::path& path,
                                               const InspectOptions& options) {
  ASSIGN_OR_RETURN(const LocatedModel model, LocateModel(path));
  ASSIGN_OR_RETURN(Json json, model.kind == ModelKind::kGgufFile
                                  ? InspectGguf(model.path, options.tensors)
                                  : InspectHf(model.path, options.tensors));
  if (!options.verify && options.against.empty()) return json;
  ThreadPool threads(AvailableCpus());
  if (options.verify) {
    ASSIGN_OR_RETURN(json["verified_tensors"], VerifyModel(model.path, threads));
  }
  if (!options.against.empty()) {
    ASSIGN_OR_RETURN(const ModelDifference difference,
                     CompareTensors(model.path, options.against, threads));
    AddDifference(difference, json);
  }
  return json;
}

}  // namespace quantized
