#include "core/quantize/recipe.h"

#include <algorithm>
#include <array>
#include <numeric>
#include <optional>

#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/quantize/selection_rules.h"

namespace quantized {
namespace {

using kernels::QuantTypeOf;
using kernels::TypeId;

bool Contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

bool IsFloat(TypeId type) {
  return type == TypeId::kF32 || type == TypeId::kF16 || type == TypeId::kBF16;
}

// What the rules ask of the model's metadata.
struct ModelFacts {
  std::string architecture;
  uint64_t layers = 0;
  uint64_t experts = 0;
  bool tied = false;    // no output matrix in the file: the embedding is the output
  uint64_t v_like = 0;  // tensors that hold values of the attention
  uint32_t facts = 0;   // of Fact, those that are the model's
};

// An unsigned number, whatever its GGUF type; the first element of an array. Nothing for another
// type or a
// negative number.
std::optional<uint64_t> Number(const gguf::Value& value) {
  const auto number = [](const auto& v) -> std::optional<uint64_t> {
    using T = std::decay_t<decltype(v)>;
    if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>) {
      if (v >= 0) return static_cast<uint64_t>(v);
    }
    return std::nullopt;
  };
  if (const auto* array = std::get_if<gguf::Array>(&value)) {
    return std::visit(
        [&](const auto& elements) { return elements.empty() ? std::nullopt : number(elements[0]); },
        *array);
  }
  return std::visit(number, value);
}

absl::StatusOr<uint64_t> ReadNumber(const gguf::Metadata& metadata, const std::string& key,
                                    std::optional<uint64_t> if_absent) {
  const gguf::Value* value = metadata.Find(key);
  if (value == nullptr && if_absent) return *if_absent;
  const std::optional<uint64_t> number = value == nullptr ? std::nullopt : Number(*value);
  if (number) return *number;
  return MakeError(Error::kValidationFailed,
                   StrCat("metadata ", key, ": ",
                          value == nullptr ? "is missing" : "is not a number of its kind",
                          ", expected a count"));
}

Role RoleOf(std::string_view name, const ModelFacts& model) {
  for (const ArchitectureNames& pinned : kPinnedNames) {
    if (pinned.architecture == model.architecture && Contains(name, pinned.name_part)) {
      return Role::kPinned;
    }
  }
  if (name == "output.weight") return Role::kOutput;
  if (name == "token_embd.weight" || name == "per_layer_token_embd.weight") {
    return model.tied ? Role::kOutput : Role::kEmbedding;
  }
  for (const RoleRow& row : kRoles) {
    if (Contains(name, row.name_part)) return row.role;
  }
  return Role::kOther;
}

bool IsVLike(Role role) { return (RoleBit(role) & rules_internal::kVLike) != 0; }
bool IsFeedForward(Role role) {
  return role == Role::kUp || role == Role::kGate || role == Role::kDown;
}

absl::StatusOr<ModelFacts> ReadModelFacts(const gguf::Metadata& metadata,
                                          std::span<const TensorShape> tensors) {
  ModelFacts model;
  const auto* architecture = metadata.Get<std::string>("general.architecture");
  if (architecture == nullptr) {
    return MakeError(
        Error::kValidationFailed,
        "metadata general.architecture: is missing, expected the model's architecture");
  }
  model.architecture = *architecture;
  const std::string prefix = model.architecture + ".";
  ASSIGN_OR_RETURN(model.layers, ReadNumber(metadata, prefix + "block_count", std::nullopt));
  ASSIGN_OR_RETURN(const uint64_t heads,
                   ReadNumber(metadata, prefix + "attention.head_count", uint64_t{0}));
  ASSIGN_OR_RETURN(const uint64_t kv_heads,
                   ReadNumber(metadata, prefix + "attention.head_count_kv", heads));
  ASSIGN_OR_RETURN(model.experts, ReadNumber(metadata, prefix + "expert_count", uint64_t{0}));

  if (model.architecture == "falcon") model.facts |= kFalcon;
  if (model.experts == 8) model.facts |= kEightExperts;
  if (kv_heads > 0 && heads / kv_heads >= 4) model.facts |= kGqa4;
  for (const Class70B& row : kClass70BModels) {
    if (row.architecture == model.architecture && row.layers == model.layers &&
        (!row.needs_fewer_kv_heads || heads != kv_heads)) {
      model.facts |= kClass70B;
    }
  }
  model.tied = std::none_of(tensors.begin(), tensors.end(),
                            [](const TensorShape& t) { return t.name == "output.weight"; });
  for (const TensorShape& tensor : tensors) {
    if (IsVLike(RoleOf(tensor.name, model))) ++model.v_like;
  }
  return model;
}

bool IsEligible(const TensorShape& tensor, std::string_view architecture) {
  size_t dimensions = tensor.dims.size();
  while (dimensions > 1 && tensor.dims[dimensions - 1] == 1) --dimensions;
  if (dimensions < 2 || !tensor.name.ends_with("weight")) return false;
  const auto has = [&](std::string_view part) { return Contains(tensor.name, part); };
  return std::none_of(kNeverQuantized.begin(), kNeverQuantized.end(), has) &&
         std::find(kNeverQuantizedNames.begin(), kNeverQuantizedNames.end(), tensor.name) ==
             kNeverQuantizedNames.end() &&
         std::none_of(kNeverQuantizedIn.begin(), kNeverQuantizedIn.end(),
                      [&](const ArchitectureNames& row) {
                        return row.architecture == architecture && has(row.name_part);
                      });
}

// Facts about the i-th of n tensors of a role.
uint32_t PositionFacts(uint64_t i, uint64_t n) {
  uint32_t facts = 0;
  const uint64_t eighth = n / 8;
  if (i < 2) facts |= kFirstTwo;
  if (i < 4) facts |= kFirstFour;
  if (i < n / 16) facts |= kFirstSixteenth;
  if (i < eighth) facts |= kFirstEighth;
  if (i < eighth || i >= 7 * n / 8 || (i - eighth) % 3 == 2) facts |= kMore;
  return facts;
}

// The rules' answer, before the shape of the row is looked at.
TypeId ApplyRules(const Recipe& recipe, Role role, uint32_t facts) {
  TypeId type = recipe.default_type;
  for (int stage = 0; stage < kStages; ++stage) {
    uint32_t now = facts;
    if (type == TypeId::kQ3_K || type == TypeId::kQ4_K) now |= kNowThreeOrFour;
    for (const Rule& rule : kRules) {
      if (rule.stage == stage && (rule.roles & RoleBit(role)) != 0 &&
          (rule.levels & LevelBit(recipe.level)) != 0 && (now & rule.needs) == rule.needs &&
          (now & rule.forbids) == 0) {
        type = rule.type;
        break;
      }
    }
  }
  return type;
}

bool Fits(TypeId type, uint64_t cols) { return cols % QuantTypeOf(type).block_values == 0; }

TypeId FitToRow(TypeId type, uint64_t cols) {
  if (Fits(type, cols)) return type;
  for (const ShapeFallback& fallback : kShapeFallbacks) {
    if (fallback.wanted == type && Fits(fallback.used, cols)) return fallback.used;
  }
  return TypeId::kF16;
}

// Goes through the tensors in the output's order and keeps count of the roles.
class Selector {
 public:
  Selector(const Recipe& recipe, const ModelFacts& model) : recipe_(recipe), model_(model) {}

  // The type for an eligible tensor; `wanted` is what the recipe has for a row of any length.
  TypeId Select(const TensorShape& tensor, TypeId* wanted) {
    const Role role = RoleOf(tensor.name, model_);
    uint32_t facts = model_.facts | PositionFacts(Position(role, tensor.name),
                                                  IsVLike(role) ? model_.v_like : model_.layers);
    *wanted = ApplyRules(recipe_, role, facts);
    const uint64_t cols = tensor.dims[0];
    if (!Fits(recipe_.default_type, cols)) facts |= kOddRow;
    return FitToRow(ApplyRules(recipe_, role, facts), cols);
  }

 private:
  uint64_t Position(Role role, std::string_view name) {
    uint64_t& count = counts_[static_cast<size_t>(IsVLike(role) ? Role::kV : role)];
    const uint64_t position = count++;
    // Experts of one layer may lie in several tensors.
    if (IsFeedForward(role) && model_.experts > 1 && LayerOf(name) >= 0) {
      return static_cast<uint64_t>(LayerOf(name));
    }
    return position;
  }

  const Recipe& recipe_;
  const ModelFacts& model_;
  std::array<uint64_t, static_cast<size_t>(Role::kOther) + 1> counts_{};
};

std::vector<size_t> OutputOrder(std::span<const TensorShape> tensors) {
  std::vector<int64_t> layers;
  layers.reserve(tensors.size());
  for (const TensorShape& tensor : tensors) layers.push_back(LayerOf(tensor.name));
  std::vector<size_t> order(tensors.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return layers[a] != layers[b] ? layers[a] < layers[b] : tensors[a].name < tensors[b].name;
  });
  return order;
}

}  // namespace

int64_t LayerOf(std::string_view tensor_name) {
  constexpr std::string_view kPrefix = "blk.";
  constexpr size_t kMaxDigits = 9;
  if (!tensor_name.starts_with(kPrefix)) return -1;
  int64_t layer = 0;
  size_t i = kPrefix.size();
  for (; i < tensor_name.size() && tensor_name[i] >= '0' && tensor_name[i] <= '9'; ++i) {
    if (i - kPrefix.size() == kMaxDigits) return -1;
    layer = layer * 10 + (tensor_name[i] - '0');
  }
  const bool complete = i > kPrefix.size() && i < tensor_name.size() && tensor_name[i] == '.';
  return complete ? layer : -1;
}

absl::StatusOr<TypeSelection> SelectTypes(const Recipe& recipe, const gguf::Metadata& metadata,
                                          std::span<const TensorShape> tensors) {
  ASSIGN_OR_RETURN(const ModelFacts model, ReadModelFacts(metadata, tensors));
  Selector selector(recipe, model);
  TypeSelection selection;
  selection.tensors.reserve(tensors.size());
  for (const size_t index : OutputOrder(tensors)) {
    const TensorShape& tensor = tensors[index];
    TypeId type = tensor.type;
    if (IsEligible(tensor, model.architecture)) {
      TypeId wanted = recipe.default_type;
      type = recipe.is_float() ? recipe.default_type : selector.Select(tensor, &wanted);
      if (type != wanted) {
        selection.substitutions.push_back(
            {index, wanted, type,
             StrCat("rows of ", tensor.dims[0], " values, ", QuantTypeOf(wanted).name,
                    " needs a multiple of ", QuantTypeOf(wanted).block_values)});
      }
    }
    if (type != tensor.type && !IsFloat(tensor.type)) {
      return MakeError(
          Error::kInvalidArgument,
          StrCat("tensor ", tensor.name, " is ", QuantTypeOf(tensor.type).name,
                 " already and would have to be encoded again as ", QuantTypeOf(type).name),
          "Use the model in F32, F16 or BF16: encoding a quantized model again adds its errors");
    }
    selection.tensors.push_back({index, type});
  }
  return selection;
}

}  // namespace quantized
