#include "core/pipeline/directory_plan.h"

#include <algorithm>
#include <array>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "absl/strings/ascii.h"
#include "core/arch/tensor_names.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/packed/awq.h"
#include "core/packed/gptq.h"
#include "core/quantize/recipe.h"
#include "core/tensor/shape.h"

namespace quantized {
namespace {

constexpr std::array kGptqBits = {2, 3, 4, 8};
constexpr std::array kAwqBits = {4};
constexpr std::array<size_t, 3> kGroupSizes = {128, 64, 32};
constexpr std::string_view kRouter = "blk.{i}.ffn_gate_inp";

std::span<const int> BitsOf(PackedMethod method) {
  if (method == PackedMethod::kAwq) return kAwqBits;
  return kGptqBits;
}

// A tensor of the source and what becomes of it.
struct Item {
  const TensorSource::Tensor* tensor;
  size_t unit = 0;
  bool quantized = false;
  bool is_router = false;
};

absl::StatusOr<std::vector<Item>> ItemsOf(const ForwardConfig& config, const HfConfig& hf_config,
                                          std::span<const TensorSource::Tensor* const> tensors) {
  const auto tied = hf_config.fields().find("tie_word_embeddings");
  const bool is_tied = tied != hf_config.fields().end() && tied->is_boolean() && tied->get<bool>();
  std::vector<Item> items;
  for (const TensorSource::Tensor* tensor : tensors) {
    if (tensor->name.ends_with(".rotary_emb.inv_freq")) continue;
    ASSIGN_OR_RETURN(const std::optional<TensorMatch> match,
                     MatchTensorName(*config.architecture, config.geometry.layers, tensor->name));
    Item item{tensor};
    if (match) {
      if (is_tied && match->rule->hf == "lm_head") continue;
      item.unit = static_cast<size_t>(LayerOf(match->gguf_name) + 1);
      item.quantized = IsQuantizedLinear(*match);
      item.is_router = !match->is_bias && match->rule->gguf == kRouter;
    }
    items.push_back(item);
  }
  std::stable_sort(items.begin(), items.end(),
                   [](const Item& a, const Item& b) { return a.unit < b.unit; });
  return items;
}

// The group size that the widths of all linears allow: the one asked for, or the largest.
absl::StatusOr<int64_t> GroupSizeFor(std::span<const LinearShape> linears, int64_t wanted) {
  const auto misfit = [&](size_t group_size) {
    return std::ranges::find_if(linears,
                                [&](const LinearShape& l) { return l.in % group_size != 0; });
  };
  for (const LinearShape& linear : linears) {
    RETURN_IF_ERROR(
        CheckPackableWidths(linear, Error::kInvalidArgument, "Use a gguf level for this model"));
  }
  std::string fitting;
  std::optional<size_t> largest;
  for (const size_t size : kGroupSizes) {
    if (misfit(size) != linears.end()) continue;
    if (!largest) largest = size;
    StrAppend(&fitting, fitting.empty() ? "" : ", ", size);
  }
  if (wanted == kAutoGroupSize) return static_cast<int64_t>(*largest);  // 32 fits, as checked
  if (wanted < 0) return wanted;
  const auto bad = misfit(static_cast<size_t>(wanted));
  if (bad == linears.end()) return wanted;
  return MakeError(Error::kInvalidArgument,
                   StrCat("group size ", wanted, " does not divide the ", bad->in, " inputs of ",
                          bad->name, "; sizes that fit this model: ", fitting),
                   StrCat("Use --group-size ", *largest, ", or --group-size auto"));
}

}  // namespace

std::string ModuleOfWeight(const std::string& weight) {
  return weight.substr(0, weight.rfind('.'));
}

absl::Status CheckPackableWidths(const LinearShape& linear, Error error,
                                 std::string_view suggestion) {
  if (linear.in % kPackedMultiple == 0 && linear.out % kPackedMultiple == 0) {
    return absl::OkStatus();
  }
  return MakeError(error,
                   StrCat(linear.name, " has ", linear.in, " inputs and ", linear.out,
                          " outputs; awq and gptq hold multiples of ", kPackedMultiple),
                   suggestion);
}

bool IsQuantizedLinear(const TensorMatch& match) {
  return !match.is_bias && match.rule->rows != Dim::kNone && match.rule->gguf.starts_with("blk.") &&
         match.rule->gguf != kRouter;
}

std::vector<BitLevel> BitLevelsOf(PackedMethod method) {
  std::vector<BitLevel> levels;
  for (const int bits : BitsOf(method)) levels.push_back({StrCat(bits, "bit"), bits});
  return levels;
}

absl::StatusOr<BitLevel> FindBitLevel(PackedMethod method, std::string_view name) {
  const std::string wanted = absl::AsciiStrToLower(std::string(name));
  std::string known;
  for (BitLevel& level : BitLevelsOf(method)) {
    if (wanted == level.name || wanted == StrCat(level.bits) ||
        wanted == StrCat(level.bits, "-bit")) {
      return std::move(level);
    }
    StrAppend(&known, known.empty() ? "" : ", ", level.name);
  }
  return MakeError(Error::kInvalidArgument,
                   StrCat("'", name, "' is not a quantization level of ", NameOf(method)),
                   StrCat("Levels of ", NameOf(method), ": ", known));
}

absl::StatusOr<DirectoryPlan> MakeDirectoryPlan(
    const ForwardConfig& config, const HfConfig& hf_config,
    std::span<const TensorSource::Tensor* const> tensors, PackedMethod method,
    const std::string& level, const CalibratedOptions& options,
    const std::filesystem::path& output_path) {
  DirectoryPlan plan;
  plan.method = method;
  plan.output_path = output_path;
  ASSIGN_OR_RETURN(plan.level, FindBitLevel(method, level));
  ASSIGN_OR_RETURN(const std::vector<Item> items, ItemsOf(config, hf_config, tensors));
  for (const Item& item : items) {
    if (!item.quantized) continue;
    const std::vector<uint64_t>& shape = item.tensor->shape;
    const std::string module = ModuleOfWeight(item.tensor->name);
    plan.linears.push_back({.name = module,
                            .out = shape[0],
                            .in = shape[1],
                            .splits_input = module.ends_with("o_proj") ||
                                            module.ends_with("down_proj") ||
                                            module.ends_with(".w2")});
  }

  plan.packed.method = method;
  plan.packed.bits = plan.level.bits;
  ASSIGN_OR_RETURN(plan.packed.group_size, GroupSizeFor(plan.linears, options.group_size));
  plan.packed.awq_clip = method == PackedMethod::kAwq && options.awq_clip;
  plan.packed.sym = method == PackedMethod::kGptq && options.symmetric;
  plan.packed.desc_act = options.order == ColumnOrder::kActivation;
  plan.packed.static_groups = options.order == ColumnOrder::kStaticActivation;
  plan.packed.damp_percent = options.damping;
  for (const Item& item : items) {
    if (item.is_router)
      plan.packed.modules_not_converted.push_back(ModuleOfWeight(item.tensor->name));
  }
  RETURN_IF_ERROR(CheckOptions(plan.packed));

  for (const Item& item : items) {
    const std::vector<uint64_t>& shape = item.tensor->shape;
    if (item.quantized) {
      plan.AddLinear({.name = ModuleOfWeight(item.tensor->name), .out = shape[0], .in = shape[1]},
                     item.unit);
    } else {
      plan.AddTensor(item.tensor->name, DType::kF16, shape, item.unit);
    }
  }
  plan.units = config.geometry.layers + 1;
  RETURN_IF_ERROR(plan.LayOut(options.max_file_bytes));
  return plan;
}

void DirectoryPlan::AddTensor(std::string name, DType dtype, std::vector<uint64_t> shape,
                              size_t unit) {
  parameters += *ElementCount(shape);
  Add(std::move(name), dtype, std::move(shape), unit);
}

void DirectoryPlan::AddLinear(const LinearShape& linear, size_t unit) {
  parameters += uint64_t{linear.out} * linear.in;
  const size_t group = group_size() == 0 ? linear.in : group_size();
  std::vector<PackedShape> parts = method == PackedMethod::kAwq
                                       ? AwqShapes(linear.out, linear.in, group)
                                       : GptqShapes(linear.out, linear.in, group, level.bits);
  for (PackedShape& part : parts) {
    Add(StrCat(linear.name, ".", part.suffix), part.dtype, std::move(part.dims), unit);
  }
}

void DirectoryPlan::Add(std::string name, DType dtype, std::vector<uint64_t> shape, size_t unit) {
  index.emplace(name, tensors.size());
  tensors.push_back({std::move(name), dtype, std::move(shape)});
  unit_of.push_back(unit);
}

absl::Status DirectoryPlan::LayOut(uint64_t max_file_bytes) {
  ASSIGN_OR_RETURN(layout, safetensors::PlanSafetensors(tensors, max_file_bytes));
  return absl::OkStatus();
}

QuantizeResult ResultOf(const DirectoryPlan& plan) {
  QuantizeResult result;
  result.output_path = plan.output_path;
  result.level = plan.level.name;
  result.format = NameOf(plan.method);
  result.fingerprint = plan.fingerprint;
  for (const safetensors::PlannedFile& file : plan.layout.files) {
    result.file_size_bytes += file.size_bytes;
  }
  result.tensors = plan.tensors.size();
  result.bits_per_weight = plan.bits_per_weight();
  result.group_size = plan.packed.group_size;
  return result;
}

}  // namespace quantized
