#include "core/packed/reader.h"

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include "absl/strings/ascii.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/hf/json_file.h"
#include "core/hf/json_number.h"
#include "core/packed/awq.h"
#include "core/packed/bit_stream.h"
#include "core/packed/packed_tensor.h"
#include "core/tensor/shape.h"

namespace quantized {
namespace {

using nlohmann::json;

constexpr std::string_view kQweightEnd = ".qweight";
constexpr std::string_view kSuffixes[] = {"qweight", "qzeros", "scales", "g_idx"};
// No real layer comes near; below it no product of two sizes and a width overflows.
constexpr uint64_t kMaxSize = std::numeric_limits<int32_t>::max();

std::string FieldName(std::string_view place, std::string_view field) {
  return StrCat(place, place.ends_with(".json") ? ": " : ".", field);
}

absl::Status WrongField(std::string_view place, std::string_view field, std::string_view expected,
                        const json* found) {
  return MakeError(Error::kValidationFailed,
                   StrCat(FieldName(place, field), ": expected ", expected, ", found ",
                          found == nullptr ? "nothing" : JsonText(*found)),
                   "Use the configuration that came with the weights");
}

// `instead`: which form of the same model would do.
absl::Status NotRead(std::string_view place, std::string_view field, std::string_view expected,
                     const json& found, std::string_view instead) {
  return MakeError(
      Error::kUnsupportedConversion,
      StrCat(FieldName(place, field), ": found ", JsonText(found), ", only ", expected, " is read"),
      StrCat("Use ", instead, ", or quantize the original model"));
}

constexpr std::string_view kBeforeMarlin =
    "the GPTQ checkpoint that was repacked for Marlin (checkpoint_format gptq)";

// The first of `names` that is there and not null.
const json* Member(const json& config, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    const auto found = config.find(name);
    if (found != config.end() && !found->is_null()) return &*found;
  }
  return nullptr;
}

// The text in lower case; nothing where it is no text.
std::optional<std::string> LowerText(const json& value) {
  if (!value.is_string()) return std::nullopt;
  return absl::AsciiStrToLower(value.get_ref<const std::string&>());
}

absl::StatusOr<int> Bits(const json& config, std::string_view place, PackedMethod method) {
  const json* bits = Member(config, {"bits", "w_bit"});
  if (bits == nullptr) return WrongField(place, "bits", "a number", nullptr);
  ASSIGN_OR_RETURN(const int32_t number, JsonInt32(*bits, FieldName(place, "bits")));
  const bool is_awq = method == PackedMethod::kAwq;
  if (is_awq ? number != 4 : !IsStreamBits(number)) {
    return WrongField(place, "bits", is_awq ? "4" : "2, 3, 4 or 8", bits);
  }
  return number;
}

absl::StatusOr<int64_t> GroupSize(const json& config, std::string_view place) {
  const json* size = Member(config, {"group_size", "q_group_size"});
  if (size == nullptr) return WrongField(place, "group_size", "a number", nullptr);
  ASSIGN_OR_RETURN(const int32_t number, JsonInt32(*size, FieldName(place, "group_size")));
  if (number != -1 && number < 1) {
    return WrongField(place, "group_size", "-1 or a number from 1 on", size);
  }
  return number;
}

absl::Status ReadGptqFields(const json& config, std::string_view place, PackedScheme& scheme) {
  if (const json* sym = Member(config, {"sym"})) {
    if (!sym->is_boolean()) return WrongField(place, "sym", "true or false", sym);
    scheme.sym = sym->get<bool>();
  }
  if (const json* format = Member(config, {"checkpoint_format", "format"})) {
    const std::optional<std::string> name = LowerText(*format);
    if (!name) return WrongField(place, "checkpoint_format", "a name", format);
    if (*name != "gptq" && *name != "gptq_v2") {
      return NotRead(place, "checkpoint_format", "gptq or gptq_v2", *format,
                     *name == "marlin" ? kBeforeMarlin : "a checkpoint of one of these formats");
    }
    scheme.tagged_version = *name == "gptq" ? GptqVersion::kV1 : GptqVersion::kV2;
  }
  // What AutoGPTQ called the form before there was a name for it.
  if (const json* marlin = Member(config, {"is_marlin_format"})) {
    if (*marlin != false) {
      return NotRead(place, "is_marlin_format", "false", *marlin, kBeforeMarlin);
    }
  }
  if (const json* dynamic = Member(config, {"dynamic"})) {
    if (!dynamic->is_object()) return WrongField(place, "dynamic", "an object", dynamic);
    for (const auto& [rule, change] : dynamic->items()) {
      // "-:" leaves layers unquantized: they have no qweight.
      scheme.has_overrides = scheme.has_overrides || !rule.starts_with("-:");
    }
  }
  return absl::OkStatus();
}

absl::Status ReadAwqFields(const json& config, std::string_view place) {
  // The newer spelling is `format`.
  if (const json* version = Member(config, {"version", "format"})) {
    const std::optional<std::string> name = LowerText(*version);
    if (!name) return WrongField(place, "version", "a name", version);
    if (*name != "gemm") {
      return NotRead(place, "version", "gemm", *version, "an AWQ model of version gemm");
    }
  }
  if (const json* zero_point = Member(config, {"zero_point"})) {
    if (!zero_point->is_boolean())
      return WrongField(place, "zero_point", "true or false", zero_point);
    if (!zero_point->get<bool>()) {
      return NotRead(place, "zero_point", "true", *zero_point, "an AWQ model with zero points");
    }
  }
  return absl::OkStatus();
}

std::string TensorName(std::string_view module, std::string_view suffix) {
  return StrCat(module, ".", suffix);
}

// A tensor with `dims` sizes from 1 to kMaxSize.
absl::StatusOr<TensorStore::Tensor> Sized(const TensorStore& store, std::string_view module,
                                          std::string_view suffix, size_t dims) {
  std::optional<TensorStore::Tensor> tensor = store.Find(TensorName(module, suffix));
  if (!tensor) return DamagedTensor(module, suffix, "missing");
  if (tensor->shape.size() != dims ||
      std::ranges::any_of(tensor->shape, [](uint64_t dim) { return dim == 0 || dim > kMaxSize; })) {
    return DamagedTensor(module, suffix,
                         StrCat("found shape ", ShapeText(tensor->shape), ", expected ", dims,
                                " sizes from 1 to ", kMaxSize));
  }
  return *std::move(tensor);
}

// What qweight, scales and g_idx tell of a layer. What they leave open comes from `scheme`.
absl::StatusOr<PackedModule> GptqModule(const PackedScheme& scheme, const TensorStore& store,
                                        std::string name) {
  ASSIGN_OR_RETURN(const TensorStore::Tensor qweight, Sized(store, name, "qweight", 2));
  ASSIGN_OR_RETURN(const TensorStore::Tensor scales, Sized(store, name, "scales", 2));
  PackedModule module = {.name = std::move(name), .out = qweight.shape[1], .bits = scheme.bits};
  const uint64_t words = qweight.shape[0];
  if (store.Find(TensorName(module.name, "g_idx"))) {
    ASSIGN_OR_RETURN(const TensorStore::Tensor g_idx, Sized(store, module.name, "g_idx", 1));
    module.in = g_idx.shape[0];
    const uint64_t bits = words * 32 / module.in;
    if (bits * module.in != words * 32 || bits > 8 || !IsStreamBits(static_cast<int>(bits))) {
      return DamagedTensor(module.name, "qweight",
                           StrCat("found ", words, " words for ", module.in,
                                  " inputs, expected 2, 3, 4 or 8 bits for each"));
    }
    module.bits = static_cast<int>(bits);
  } else {
    module.in = words * 32 / static_cast<uint64_t>(module.bits);
  }
  if (module.in == 0 || module.in % scales.shape[0] != 0) {
    return DamagedTensor(module.name, "scales",
                         StrCat("found ", scales.shape[0], " groups of ", module.in,
                                " inputs, expected groups of one size"));
  }
  module.group_size = module.in / scales.shape[0];
  return module;
}

absl::StatusOr<PackedModule> AwqModule(const TensorStore& store, std::string name) {
  ASSIGN_OR_RETURN(const TensorStore::Tensor qweight, Sized(store, name, "qweight", 2));
  ASSIGN_OR_RETURN(const TensorStore::Tensor scales, Sized(store, name, "scales", 2));
  PackedModule module = {.name = std::move(name), .out = scales.shape[1], .in = qweight.shape[0]};
  if (module.in % scales.shape[0] != 0) {
    return DamagedTensor(module.name, "scales",
                         StrCat("found ", scales.shape[0], " groups of ", module.in,
                                " inputs, expected groups of one size"));
  }
  module.group_size = module.in / scales.shape[0];
  return module;
}

// Whether `name` is that of a tensor that is never without a qweight. Scales may be: AutoAWQ's of
// an activation are a vector of that name.
bool NeedsQweight(const TensorStore& store, const std::string& name) {
  const size_t dot = std::min(name.rfind('.'), name.size());
  const std::string_view suffix = std::string_view(name).substr(std::min(dot + 1, name.size()));
  if (suffix == kQweightEnd.substr(1) || std::ranges::count(kSuffixes, suffix) == 0) return false;
  return suffix != "scales" || store.Find(name)->shape.size() > 1;
}

// Whether each linear has its codes.
absl::Status CheckNoneLacksQweight(const TensorStore& store, std::vector<std::string> names) {
  std::ranges::sort(names);
  for (const std::string& name : names) {
    if (!NeedsQweight(store, name)) continue;
    const std::string module = name.substr(0, name.rfind('.'));
    if (store.Find(TensorName(module, "qweight"))) continue;
    return DamagedTensor(
        module, "qweight",
        StrCat("missing, found ", name.substr(module.size() + 1), " of this linear"));
  }
  return absl::OkStatus();
}

std::vector<PackedShape> ShapesOf(const PackedScheme& scheme, const PackedModule& module) {
  return scheme.method == PackedMethod::kAwq
             ? AwqShapes(module.out, module.in, module.group_size)
             : GptqShapes(module.out, module.in, module.group_size, module.bits);
}

// Whether all tensors are as the layer's sizes demand, and these as `scheme` does.
absl::Status CheckModule(const PackedScheme& scheme, const TensorStore& store,
                         const PackedModule& module) {
  const size_t unit = scheme.method == PackedMethod::kAwq ? 8 : 32;
  if (module.out % unit != 0 || (unit == 32 && module.in % unit != 0)) {
    return DamagedTensor(module.name, "qweight",
                         StrCat("found ", module.in, " inputs and ", module.out,
                                " outputs, expected multiples of ", unit));
  }
  const bool is_whole_row = scheme.group_size == -1;
  const uint64_t group_size = is_whole_row ? module.in : static_cast<uint64_t>(scheme.group_size);
  if (!scheme.has_overrides && (module.bits != scheme.bits || module.group_size != group_size)) {
    return DamagedTensor(
        module.name, "qweight",
        StrCat("found ", module.bits, " bits in groups of ", module.group_size, ", expected ",
               scheme.bits, " bits in groups of ", group_size, " as the configuration says"));
  }
  for (const PackedShape& expected : ShapesOf(scheme, module)) {
    const std::optional<TensorStore::Tensor> tensor =
        store.Find(TensorName(module.name, expected.suffix));
    const bool is_scales = expected.suffix == "scales", is_index = expected.suffix == "g_idx";
    if (!tensor && is_index) continue;
    if (!tensor) return DamagedTensor(module.name, expected.suffix, "missing");
    const bool is_dtype =
        tensor->dtype == expected.dtype || (is_scales && tensor->dtype == DType::kBF16);
    if (!is_dtype || tensor->shape != expected.dims) {
      return DamagedTensor(
          module.name, expected.suffix,
          StrCat("found ", RowOf(tensor->dtype).name, " ", ShapeText(tensor->shape), ", expected ",
                 RowOf(expected.dtype).name, " ", ShapeText(expected.dims)));
    }
  }
  return absl::OkStatus();
}

// Without `with_codes`, of qweight only the shape.
absl::StatusOr<std::vector<PackedTensor>> ReadTensors(const TensorStore& store,
                                                      std::string_view module, bool with_codes) {
  std::vector<PackedTensor> tensors;
  for (const std::string_view suffix : kSuffixes) {
    const std::string name = TensorName(module, suffix);
    std::optional<TensorStore::Tensor> found = store.Find(name);
    if (!found) continue;
    PackedTensor tensor = {{suffix, found->dtype, std::move(found->shape)}, {}};
    if (with_codes || suffix != "qweight") {
      tensor.bytes.resize(found->size_bytes);
      RETURN_IF_ERROR(store.Read(name, tensor.bytes));
    }
    tensors.push_back(std::move(tensor));
  }
  return tensors;
}

// How the tensors of a GPTQ layer are to be read.
GptqForm FormOf(const PackedScheme& scheme, const PackedModule& module,
                std::span<const PackedTensor> tensors) {
  GptqForm form = {.bits = module.bits,
                   .group_size = static_cast<int64_t>(module.group_size),
                   .version = scheme.tagged_version};
  const PackedTensor* qzeros = FindSuffix(tensors, "qzeros");
  if (scheme.sym && qzeros != nullptr) {
    form.version = SymmetricVersion(*qzeros, module.bits).value_or(form.version);
  }
  return form;
}

}  // namespace

absl::StatusOr<std::optional<PackedScheme>> ParsePackedScheme(const json& config,
                                                              std::string_view place) {
  if (!config.is_object()) {
    return MakeError(Error::kValidationFailed,
                     StrCat(place, ": expected an object, found ", JsonText(config)));
  }
  // Files of the time before the field was there are GPTQ's.
  const json* method = Member(config, {"quant_method"});
  const std::optional<std::string> name = method == nullptr ? "gptq" : LowerText(*method);
  if (!name) return WrongField(place, "quant_method", "a name", method);
  PackedScheme scheme;
  if (*name == NameOf(PackedMethod::kAwq)) {
    scheme.method = PackedMethod::kAwq;
    scheme.sym = false;
  } else if (*name != NameOf(PackedMethod::kGptq)) {
    return std::nullopt;
  }
  ASSIGN_OR_RETURN(scheme.bits, Bits(config, place, scheme.method));
  ASSIGN_OR_RETURN(scheme.group_size, GroupSize(config, place));
  RETURN_IF_ERROR(scheme.method == PackedMethod::kAwq ? ReadAwqFields(config, place)
                                                      : ReadGptqFields(config, place, scheme));
  return scheme;
}

absl::StatusOr<std::optional<PackedScheme>> PackedSchemeOf(const HfConfig& config) {
  const std::optional<HfQuantization>& said = config.quantization();
  if (!said) return std::nullopt;
  return ParsePackedScheme(said->fields, said->place);
}

absl::StatusOr<std::vector<PackedModule>> ListPackedModules(const PackedScheme& scheme,
                                                            const TensorStore& store) {
  std::vector<PackedModule> modules;
  std::vector<std::string> names = store.Names();
  RETURN_IF_ERROR(CheckNoneLacksQweight(store, names));
  for (std::string& name : names) {
    if (!name.ends_with(kQweightEnd)) continue;
    name.resize(name.size() - kQweightEnd.size());
    ASSIGN_OR_RETURN(PackedModule module, scheme.method == PackedMethod::kAwq
                                              ? AwqModule(store, std::move(name))
                                              : GptqModule(scheme, store, std::move(name)));
    RETURN_IF_ERROR(CheckModule(scheme, store, module));
    modules.push_back(std::move(module));
  }
  std::ranges::sort(modules, {}, &PackedModule::name);
  return modules;
}

absl::StatusOr<QuantizedLinear> LoadPackedModule(const PackedScheme& scheme,
                                                 const TensorStore& store,
                                                 const PackedModule& module) {
  ASSIGN_OR_RETURN(const std::vector<PackedTensor> tensors,
                   ReadTensors(store, module.name, /*with_codes=*/true));
  if (scheme.method == PackedMethod::kAwq) {
    return UnpackAwq(module.name, tensors, static_cast<int64_t>(module.group_size));
  }
  return UnpackGptq(module.name, tensors, FormOf(scheme, module, tensors));
}

absl::StatusOr<QuantizedLinear> LoadPackedGrid(const PackedScheme& scheme, const TensorStore& store,
                                               const PackedModule& module) {
  ASSIGN_OR_RETURN(const std::vector<PackedTensor> tensors,
                   ReadTensors(store, module.name, /*with_codes=*/false));
  if (scheme.method == PackedMethod::kAwq) {
    return UnpackAwqGrid(module.name, tensors, static_cast<int64_t>(module.group_size));
  }
  return UnpackGptqGrid(module.name, tensors, FormOf(scheme, module, tensors));
}

}  // namespace quantized
