#include "core/quantize/recipe.h"

#include <algorithm>
#include <array>
#include <map>
#include <numeric>
#include <optional>
#include <set>

#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/quantize/selection_rules.h"
#include "kernels/codecs/codec.h"

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
// type or a negative number.
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

bool IsEmbedding(std::string_view name) {
  return name == "token_embd.weight" || name == "per_layer_token_embd.weight";
}

Role RoleOf(std::string_view name, const ModelFacts& model) {
  for (const ArchitectureNames& pinned : kPinnedNames) {
    if (pinned.architecture == model.architecture && Contains(name, pinned.name_part)) {
      return Role::kPinned;
    }
  }
  if (name == "output.weight") return Role::kOutput;
  if (IsEmbedding(name)) return model.tied ? Role::kOutput : Role::kEmbedding;
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
                                          std::span<const TensorShape> tensors,
                                          bool has_importance) {
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

  if (has_importance) model.facts |= kImportance;
  if (model.architecture == "falcon") model.facts |= kFalcon;
  if (model.architecture == "bailingmoe3") model.facts |= kBailingMoe3;
  if (model.experts >= 4) model.facts |= kFourExperts;
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
  if (i >= eighth && i < 7 * n / 8) facts |= kMiddle;
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

absl::Status DoesNotFit(const TensorShape& tensor, TypeId type, std::string_view why) {
  return MakeError(
      Error::kInvalidArgument,
      StrCat("tensor ", tensor.name, ": has rows of ", tensor.dims[0], " values, ",
             QuantTypeOf(type).name, " needs a multiple of ", QuantTypeOf(type).block_values, why),
      "Choose a type or level of smaller blocks");
}

absl::StatusOr<TypeId> FitToRow(TypeId type, const TensorShape& tensor) {
  constexpr uint32_t kSmallBlock = 32;
  const uint64_t cols = tensor.dims[0];
  if (Fits(type, cols)) return type;
  const auto* fallback =
      std::find_if(kShapeFallbacks.begin(), kShapeFallbacks.end(),
                   [type](const ShapeFallback& row) { return row.wanted == type; });
  if (fallback == kShapeFallbacks.end()) {
    if (QuantTypeOf(type).block_values <= kSmallBlock) return TypeId::kF16;
    return DoesNotFit(tensor, type, ", and no type is defined to replace it");
  }
  return Fits(fallback->used, cols) ? fallback->used : TypeId::kF16;
}

struct SelectedType {
  TypeId wanted, used;  // the first is what a row of any length would have got
};

// Goes through the tensors in the output's order and keeps count of the roles.
class Selector {
 public:
  Selector(const Recipe& recipe, const SelectionOptions& options, const ModelFacts& model)
      : recipe_(recipe), options_(options), model_(model) {}

  absl::StatusOr<SelectedType> Select(const TensorShape& tensor) {
    if (recipe_.is_copy() || !IsEligible(tensor, model_.architecture) ||
        (options_.leave_output && tensor.name == "output.weight")) {
      return SelectedType{tensor.type, tensor.type};
    }
    ASSIGN_OR_RETURN(const std::optional<TypeId> overridden, OverriddenType(tensor.name));
    if (options_.embedding_type && IsEmbedding(tensor.name)) {
      // A table of its own, which an explicit pattern may name.
      const bool is_named = overridden && tensor.name == "per_layer_token_embd.weight";
      if (!is_named) return Exactly(*options_.embedding_type, tensor);
    }
    if (options_.output_type && tensor.name == "output.weight") {
      return Exactly(*options_.output_type, tensor);
    }
    if (recipe_.is_float()) return SelectedType{recipe_.default_type, recipe_.default_type};
    SelectedType type = {recipe_.default_type, recipe_.default_type};
    if (overridden) {
      type = {*overridden, *overridden};
    } else if (!options_.pure) {
      type = Mix(tensor);
    }
    ASSIGN_OR_RETURN(type.used, FitToRow(type.used, tensor));
    return type;
  }

 private:
  absl::StatusOr<std::optional<TypeId>> OverriddenType(std::string_view name) const {
    for (const TensorTypeOverride& one : options_.tensor_types) {
      ASSIGN_OR_RETURN(const bool found, one.pattern.IsFoundIn(name));
      if (found) return std::optional(one.type);
    }
    return std::optional<TypeId>();
  }

  // What an option asks for by name is never replaced.
  static absl::StatusOr<SelectedType> Exactly(TypeId type, const TensorShape& tensor) {
    if (!Fits(type, tensor.dims[0])) return DoesNotFit(tensor, type, "");
    return SelectedType{type, type};
  }

  // The recipe's mixture, before the shape of the row is looked at.
  SelectedType Mix(const TensorShape& tensor) {
    const Role role = RoleOf(tensor.name, model_);
    if (role == Role::kOutput && options_.output_type) {
      return {*options_.output_type, *options_.output_type};
    }
    const uint64_t counted = counts_[static_cast<size_t>(IsVLike(role) ? Role::kV : role)]++;
    // Experts of one layer may lie in several tensors.
    const bool by_layer = IsFeedForward(role) && model_.experts > 1 && LayerOf(tensor.name) >= 0;
    const uint64_t position = by_layer ? static_cast<uint64_t>(LayerOf(tensor.name)) : counted;
    uint32_t facts =
        model_.facts | PositionFacts(position, IsVLike(role) ? model_.v_like : model_.layers);
    if (counted < model_.layers / 8) facts |= kFirstEighthCounted;
    if (tensor.dims.size() > 2 && tensor.dims[2] > 1) facts |= kStacked;
    const TypeId wanted = ApplyRules(recipe_, role, facts);
    if (!Fits(recipe_.default_type, tensor.dims[0])) facts |= kOddRow;
    return {wanted, ApplyRules(recipe_, role, facts)};
  }

  const Recipe& recipe_;
  const SelectionOptions& options_;
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

// The number in the first "blk.N." of a name, wherever it stands.
struct Block {
  size_t begin = 0, end = 0;  // of the digits
  uint32_t number = 0;
};
std::optional<Block> BlockIn(std::string_view name) {
  constexpr std::string_view kMark = "blk.";
  constexpr size_t kMaxDigits = 9;
  for (size_t at = name.find(kMark); at != std::string_view::npos; at = name.find(kMark, at + 1)) {
    Block block{at + kMark.size(), at + kMark.size(), 0};
    while (block.end < name.size() && block.end - block.begin < kMaxDigits &&
           name[block.end] >= '0' && name[block.end] <= '9') {
      block.number = block.number * 10 + static_cast<uint32_t>(name[block.end++] - '0');
    }
    if (block.end > block.begin && block.end < name.size() && name[block.end] == '.') return block;
  }
  return std::nullopt;
}

struct Pruning {
  std::vector<std::string> names;  // of each tensor in the output; empty: dropped
  uint32_t layers_left = 0;
};

// Numbers the layers that stay in the order in which `order` meets them, as the reference does.
absl::StatusOr<Pruning> Prune(std::span<const TensorShape> tensors, std::span<const size_t> order,
                              std::span<const uint32_t> layers) {
  Pruning pruning;
  for (const TensorShape& tensor : tensors) pruning.names.emplace_back(tensor.name);
  if (layers.empty()) return pruning;
  const std::set<uint32_t> pruned(layers.begin(), layers.end());
  std::map<uint32_t, uint32_t> new_numbers;
  std::set<uint32_t> missing = pruned;
  for (const size_t i : order) {
    const std::optional<Block> block = BlockIn(tensors[i].name);
    if (!block) continue;
    if (pruned.contains(block->number)) {
      missing.erase(block->number);
      pruning.names[i].clear();
      continue;
    }
    const auto [place, is_new] = new_numbers.try_emplace(
        block->number, block->number < *pruned.begin() ? block->number : pruning.layers_left);
    if (is_new) pruning.layers_left = place->second + 1;
    pruning.names[i].replace(block->begin, block->end - block->begin,
                             std::to_string(place->second));
  }
  if (missing.empty()) return pruning;
  return MakeError(Error::kInvalidArgument,
                   StrCat("--prune-layers: the model has no layer ", *missing.begin()));
}

// The file type of a file that does not say it, as the reference guesses it from the type that most
// tensors have, and marks its guess.
uint32_t GuessedFileType(std::span<const TensorShape> tensors) {
  constexpr uint32_t kGuessed = 1024;
  struct Row {
    TypeId type;
    Level level;
  };
  constexpr Row kMixtures[] = {{TypeId::kQ3_K, Level::kQ3_K_M},
                               {TypeId::kQ4_K, Level::kQ4_K_M},
                               {TypeId::kQ5_K, Level::kQ5_K_M}};
  constexpr uint32_t kNvfp4 = 39;
  std::map<TypeId, size_t> counts;
  size_t most = 0;
  TypeId type = TypeId::kF32;
  for (const size_t i : OutputOrder(tensors)) {
    if (++counts[tensors[i].type] <= most) continue;
    most = counts[tensors[i].type];
    type = tensors[i].type;
  }
  if (type == TypeId::kNVFP4) return kGuessed | kNvfp4;
  for (const Row& row : kMixtures) {
    if (row.type == type) return kGuessed | RecipeOf(row.level).file_type;
  }
  for (const Recipe& recipe : AllRecipes()) {
    if (recipe.name == QuantTypeOf(type).name) return kGuessed | recipe.file_type;
  }
  return kGuessed;
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

bool NeedsImportance(const Recipe& recipe, std::string_view tensor_name, TypeId type) {
  if (IsEmbedding(tensor_name) || tensor_name == "output.weight") return false;
  return std::any_of(kNeedsImportance.begin(), kNeedsImportance.end(),
                     [&](const NeedsImportanceRow& row) {
                       return row.type == type && (row.levels & LevelBit(recipe.level)) != 0;
                     });
}

absl::StatusOr<TypeSelection> SelectTypes(const Recipe& recipe, const gguf::Metadata& metadata,
                                          std::span<const TensorShape> tensors,
                                          const SelectionOptions& options) {
  std::vector<size_t> order = OutputOrder(tensors);
  ASSIGN_OR_RETURN(const Pruning pruning, Prune(tensors, order, options.pruned_layers));
  if (options.keep_order) std::iota(order.begin(), order.end(), size_t{0});
  std::erase_if(order, [&](size_t i) { return pruning.names[i].empty(); });

  std::vector<TensorShape> kept;
  for (const size_t i : order) kept.push_back({pruning.names[i], tensors[i].type, tensors[i].dims});
  ASSIGN_OR_RETURN(const ModelFacts model, ReadModelFacts(metadata, kept, options.has_importance));
  Selector selector(recipe, options, model);
  TypeSelection selection;
  selection.layers_left = pruning.layers_left;
  for (size_t i = 0; i < kept.size(); ++i) {
    const TensorShape& tensor = kept[i];
    ASSIGN_OR_RETURN(const SelectedType type, selector.Select(tensor));
    if (type.used != type.wanted) {
      selection.substitutions.push_back(
          {order[i], type.wanted, type.used,
           StrCat("rows of ", tensor.dims[0], " values, ", QuantTypeOf(type.wanted).name,
                  " needs a multiple of ", QuantTypeOf(type.wanted).block_values)});
    }
    const bool can_encode = IsFloat(tensor.type) || (options.allow_requantize &&
                                                     kernels::FindCodec(tensor.type) != nullptr);
    if (type.used != tensor.type && !can_encode) {
      return MakeError(
          Error::kInvalidArgument,
          StrCat("tensor ", tensor.name, " is ", QuantTypeOf(tensor.type).name,
                 " already and would have to be encoded again as ", QuantTypeOf(type.used).name),
          "Use the model in F32, F16 or BF16, or accept the errors of both with "
          "--allow-requantize");
    }
    selection.tensors.push_back({order[i], type.used, pruning.names[order[i]]});
  }
  return selection;
}

gguf::Metadata QuantizedMetadata(const gguf::Metadata& source, const Recipe& recipe,
                                 std::span<const TensorShape> tensors,
                                 std::span<const gguf::Metadata::Entry> overrides,
                                 std::span<const gguf::Metadata::Entry> added,
                                 uint32_t layers_left) {
  constexpr uint32_t kQuantizationVersion = 2;
  constexpr std::string_view kFileType = "general.file_type";
  const auto* own_type = source.Get<uint32_t>(kFileType);
  const uint32_t file_type = !recipe.is_copy()     ? recipe.file_type
                             : own_type != nullptr ? *own_type
                                                   : GuessedFileType(tensors);
  gguf::Metadata metadata = source;
  metadata.SetLast("general.quantization_version", kQuantizationVersion);
  metadata.SetLast(kFileType, file_type);
  for (const char* key : {"split.no", "split.count", "split.tensors.count"}) metadata.Remove(key);
  for (const auto& entries : {overrides, added}) {
    for (const gguf::Metadata::Entry& entry : entries) metadata.SetLast(entry.key, entry.value);
  }
  if (layers_left > 0) {
    const auto* architecture = source.Get<std::string>("general.architecture");
    metadata.SetLast(StrCat(*architecture, ".block_count"), layers_left);
  }
  return metadata;
}

}  // namespace quantized
