#include "core/pipeline/conversion.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "core/arch/architecture.h"
#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/hf/config.h"
#include "core/packed/gguf_blocks.h"
#include "core/packed/recode.h"
#include "core/pipeline/directory_plan.h"
#include "core/pipeline/gguf_model.h"
#include "core/quantize/levels.h"
#include "core/quantize/recipe.h"
#include "core/source/completeness.h"
#include "core/source/hf_weights.h"
#include "core/source/locate.h"
#include "core/source/model_source.h"
#include "core/source/packed_weights.h"
#include "core/source/quantization.h"
#include "core/tensor/text.h"
#include "kernels/types/half.h"

namespace quantized {
namespace {

namespace fs = std::filesystem;

using kernels::TypeId;

constexpr std::string_view kGguf = "gguf", kAwq = "awq", kGptq = "gptq";

constexpr ConversionRow kConversions[] = {
    {kGptq, kGguf, "Q4_0, Q4_1, Q5_0 or Q8_0: the first that is exact; else Q8_0",
     "up to 4 bits, or 8 bits symmetric, in groups of neighbours (no act-order)",
     "quantized anew; act-order only at a level that is named"},
    {kAwq, kGguf, "Q4_0, Q4_1 or Q5_0: the first that is exact", "always at Q5_0 and Q8_0",
     "Q4_1 keeps codes and scales and rounds minima; other levels quantize anew"},
    {kGptq, kAwq, "4bit", "up to 4 bits, in groups of neighbours (no act-order)",
     "8 bits are quantized anew; act-order is refused"},
    {kAwq, kGptq, "4bit", "always; at 8bit symmetric", "3bit and 2bit quantize anew"},
    {kGguf, kGptq,
     "4bit where all linears are Q4_0, 8bit where they are Q4_0, Q5_0 or Q8_0; else "
     "4bit or 8bit, whichever most of them need",
     "4bit of Q4_0; 8bit of Q4_0, Q5_0 and Q8_0", "quantized anew in groups of 32"},
    {kGguf, kAwq, "4bit", "Q4_0", "quantized anew in groups of 32"},
    {kGguf, kGguf, "", "at F32", "F16 and BF16 round; other levels quantize anew"},
};

const ConversionRow* FindConversion(std::string_view from, std::string_view to) {
  const auto row = std::ranges::find_if(
      kConversions, [&](const ConversionRow& one) { return one.from == from && one.to == to; });
  return row == std::end(kConversions) ? nullptr : row;
}

absl::Status NotQuantized(const fs::path& model, std::string_view dtype, std::string_view to) {
  return MakeError(Error::kUnsupportedConversion,
                   StrCat(model.string(), " is not quantized (", dtype, ")"),
                   StrCat("Use llm-quantize quantize MODEL ", to, " -q LEVEL"));
}

// The level, if convert can make it: without text to run a model on, none that needs importance.
absl::StatusOr<const Recipe*> MakableRecipe(std::string_view level) {
  ASSIGN_OR_RETURN(const Recipe* recipe, FindRecipe(level));
  if (!NeedsImportance(*recipe, "blk.0.ffn_up.weight", recipe->default_type)) return recipe;
  return MakeError(Error::kUnsupportedConversion,
                   StrCat("level ", recipe->name,
                          " needs an importance matrix, which is measured on an original model"),
                   "Convert to another level, or quantize the original model");
}

bool IsHalf(float value) { return kernels::F16ToF32(kernels::F32ToF16(value)) == value; }

// The linears that are quantized anew, of all.
class AnewLinears {
 public:
  void Count(const std::string& module, uint64_t weights, bool is_anew) {
    ++linears_;
    weights_ += weights;
    if (!is_anew) return;
    weights_anew_ += weights;
    modules_.insert(module);
  }
  const std::set<std::string, std::less<>>& modules() const { return modules_; }

  // "1 of 14 linears, 12 % of their weights"; nothing where it is all of them.
  std::string Share() const {
    if (modules_.size() == linears_) return "";
    const auto percent =
        std::lround(100 * static_cast<double>(weights_anew_) / static_cast<double>(weights_));
    return StrCat(modules_.size(), " of ", linears_, " linears, ",
                  percent == 0 ? "less than 1" : StrCat(percent), " % of their weights");
  }

 private:
  std::set<std::string, std::less<>> modules_;
  size_t linears_ = 0;
  uint64_t weights_ = 0, weights_anew_ = 0;
};

// `conversion` with those modules, and why there are any.
void QuantizeAnew(const AnewLinears& anew, std::string_view why, Conversion& conversion) {
  const std::string share = anew.Share();
  conversion.fidelity = Fidelity::kRequantized;
  conversion.anew = anew.modules();
  conversion.why = StrCat(why, share.empty() ? "" : ": ", share);
}

absl::Status OrderedRefusal(const std::string& module, std::string_view what,
                            std::string_view instead) {
  return MakeError(
      Error::kUnsupportedConversion,
      StrCat(module, ": channels are in groups by their activations (act-order), which ", what,
             " cannot hold"),
      instead);
}

// What codes of so many bits hold of the linears of a directory.
struct Recoding {
  AnewLinears anew;
  int bits = 0;             // the most that are too many
  std::string wide_module;  // the first with a scale that is no float16
  // Of those that keep their codes:
  bool are_centered = true;  // they can have their zero points in the middle
  bool has_zero_point_zero = false;

  std::string Why(int bits_wanted) const {
    std::string why;
    if (bits > 0) why = StrCat("codes of ", bits, " bits become codes of ", bits_wanted);
    if (wide_module.empty()) return why;
    return StrCat(why, why.empty() ? "" : "; ", wide_module,
                  " has a scale that float16 does not hold");
  }
};

// Errors: kUnsupportedConversion for groups by activations; those of LoadGrid.
absl::StatusOr<Recoding> RecodingOf(const PackedWeights& packed, int bits) {
  Recoding recoding;
  for (size_t i = 0; i < packed.modules().size(); ++i) {
    const PackedModule& module = packed.modules()[i];
    ASSIGN_OR_RETURN(const QuantizedLinear grid, packed.LoadGrid(i));
    if (!grid.group_of.empty()) {
      return OrderedRefusal(module.name, "awq",
                            "Convert to gguf -q Q8_0, which quantizes anew, or quantize the "
                            "original model to awq");
    }
    const bool is_half =
        std::ranges::all_of(grid.scales.values, [](float scale) { return IsHalf(scale); });
    const bool is_kept = grid.bits <= bits && is_half;
    recoding.anew.Count(module.name, uint64_t{module.out} * module.in, !is_kept);
    if (grid.bits > bits) recoding.bits = std::max(recoding.bits, grid.bits);
    if (!is_half && recoding.wide_module.empty()) recoding.wide_module = module.name;
    if (!is_kept) continue;
    recoding.are_centered = recoding.are_centered && CanBeCentered(grid, bits);
    recoding.has_zero_point_zero =
        recoding.has_zero_point_zero || std::ranges::find(grid.zeros, 0) != grid.zeros.end();
  }
  return recoding;
}

Conversion AtFloatLevel(const Recipe& recipe) {
  Conversion conversion;
  conversion.level = recipe.name;
  if (recipe.level == Level::kF32) return conversion;
  conversion.fidelity = Fidelity::kRounded;
  conversion.why = StrCat("weights are rounded to ", recipe.name);
  return conversion;
}

// To a level of gguf.
class ToGguf {
 public:
  // `model`: where they lie, for messages.
  ToGguf(const PackedWeights& packed, std::string model)
      : packed_(packed), model_(std::move(model)) {}

  absl::StatusOr<Conversion> Plan(std::string_view level) {
    ASSIGN_OR_RETURN(fits_, packed_.BlockFits(), << model_);
    if (level.empty()) return PlanDefault();
    ASSIGN_OR_RETURN(const Recipe* recipe, MakableRecipe(level));
    if (recipe->is_copy()) {
      return MakeError(Error::kUnsupportedConversion, "level COPY is for GGUF files",
                       "Leave out --quant-level: the default keeps what the model has");
    }
    if (recipe->is_float()) return AtFloatLevel(*recipe);
    const auto type = std::ranges::find(BlockTypes(), recipe->default_type);
    if (type == BlockTypes().end() || kernels::QuantTypeOf(*type).name != recipe->name) {
      return Anew(*recipe, StrCat(recipe->name, " has other grids"));
    }
    return AsBlocks(*recipe, fits_[type - BlockTypes().begin()]);
  }

 private:
  absl::StatusOr<Conversion> PlanDefault() {
    for (size_t i = 0; i < fits_.size(); ++i) {
      if (fits_[i].fit != BlockFit::kExact) continue;
      ASSIGN_OR_RETURN(const Recipe* recipe,
                       FindRecipe(kernels::QuantTypeOf(BlockTypes()[i]).name));
      return AsBlocks(*recipe, fits_[i]);
    }
    RETURN_IF_ERROR(CheckOrder()) << model_;
    return AsBlocks(RecipeOf(Level::kQ8_0), fits_.back());
  }

  absl::Status CheckOrder() const {
    for (size_t i = 0; i < packed_.modules().size(); ++i) {
      ASSIGN_OR_RETURN(const QuantizedLinear grid, packed_.LoadGrid(i));
      if (grid.group_of.empty()) continue;
      return OrderedRefusal(packed_.modules()[i].name, "gguf",
                            "Name a level, which quantizes anew: -q Q8_0 loses least; or quantize "
                            "the original model");
    }
    return absl::OkStatus();
  }

  static Conversion Anew(const Recipe& recipe, std::string why) {
    Conversion conversion;
    conversion.level = recipe.name;
    conversion.fidelity = Fidelity::kRequantized;
    conversion.why = std::move(why);
    return conversion;
  }

  static Conversion AsBlocks(const Recipe& recipe, const BlockFittingOfAll& fit) {
    const std::string why = fit.module.empty() ? "" : StrCat(fit.module, ": ", fit.why);
    if (fit.fit == BlockFit::kNone) return Anew(recipe, why);
    Conversion conversion;
    conversion.level = recipe.name;
    conversion.blocks = recipe.default_type;
    if (fit.fit == BlockFit::kRounded) conversion.fidelity = Fidelity::kRounded;
    conversion.why = why;
    return conversion;
  }

  const PackedWeights& packed_;
  const std::string model_;
  std::vector<BlockFittingOfAll> fits_;
};

// The group size that a configuration tells of all linears, -1 where a row of each is one group.
// kUnsupportedConversion where they have several, or one that no result can have.
absl::StatusOr<int64_t> GroupSizeOfAll(const PackedWeights& packed) {
  const std::vector<PackedModule>& modules = packed.modules();
  if (std::ranges::all_of(modules, [](const auto& one) { return one.group_size == one.in; })) {
    return -1;
  }
  const size_t group_size = modules[0].group_size;
  for (const PackedModule& module : modules) {
    if (module.group_size == group_size) continue;
    return MakeError(Error::kUnsupportedConversion,
                     StrCat(module.name, " has groups of ", module.group_size, ", ",
                            modules[0].name, " of ", group_size),
                     "Convert to gguf, or quantize the original model");
  }
  if (group_size % kPackedMultiple == 0) return static_cast<int64_t>(group_size);
  return MakeError(Error::kUnsupportedConversion,
                   StrCat("groups of ", group_size, ", expected a multiple of ", kPackedMultiple),
                   "Convert to gguf -q Q8_0, which quantizes anew, or quantize the original model");
}

// From one kind of directory to the other.
absl::StatusOr<Conversion> ToPacked(const PackedWeights& packed, PackedMethod to,
                                    const BitLevel& level) {
  ASSIGN_OR_RETURN(const Recoding recoding, RecodingOf(packed, level.bits));
  for (const PackedModule& module : packed.modules()) {
    RETURN_IF_ERROR(CheckPackableWidths({.name = module.name, .out = module.out, .in = module.in},
                                        Error::kUnsupportedConversion, "Convert to gguf"));
    if (module.name != "lm_head") continue;
    return MakeError(Error::kUnsupportedConversion,
                     "lm_head is quantized, which loaders of the result do not expect",
                     "Convert to gguf, or quantize the original model");
  }
  Conversion conversion;
  conversion.level = level.name;
  PackedOptions& options = conversion.packed;
  options.method = to;
  options.bits = level.bits;
  ASSIGN_OR_RETURN(options.group_size, GroupSizeOfAll(packed));
  if (!recoding.anew.modules().empty()) {
    QuantizeAnew(recoding.anew, recoding.Why(level.bits), conversion);
  }
  // What is quantized anew takes the form that the others need.
  options.sym = to == PackedMethod::kGptq && recoding.are_centered;
  if (!options.sym && recoding.has_zero_point_zero) options.version = GptqVersion::kV2;
  return conversion;
}

absl::StatusOr<Conversion> OfDirectory(const fs::path& path, std::string_view to,
                                       std::string_view level) {
  ASSIGN_OR_RETURN(const HfConfig config, HfConfig::Read(path));
  const std::optional<HfQuantization>& quantization = config.quantization();
  if (!quantization) {
    ASSIGN_OR_RETURN(const std::unique_ptr<HfWeights> weights, HfWeights::Open(path));
    RETURN_IF_ERROR(CheckPackingIsSaid(config, *weights)) << path.string();
    return NotQuantized(path, "it has no quantization_config", to);
  }
  ASSIGN_OR_RETURN(const std::optional<PackedScheme> scheme, PackedSchemeOf(config));
  if (!scheme) {
    return MakeError(Error::kUnsupportedConversion,
                     StrCat(path.string(), "/", quantization->place, ": the method is ",
                            PrintableName(quantization->method), ", none of awq and gptq"),
                     "Quantize the original model");
  }
  ASSIGN_OR_RETURN(const std::unique_ptr<HfWeights> weights, HfWeights::Open(path));
  if (QuantizationOf(config, *weights) == nullptr) {
    return NotQuantized(path, "it has no packed tensors", to);
  }
  const std::string_view from = NameOf(scheme->method);
  if (FindConversion(from, to) == nullptr) {
    return MakeError(Error::kUnsupportedConversion,
                     StrCat(path.string(), " is in format ", from, " already"),
                     "llm-quantize convert --list shows what can be made");
  }
  ASSIGN_OR_RETURN(const std::unique_ptr<PackedWeights> packed,
                   PackedWeights::Open(*weights, *scheme), << path.string());
  if (packed->modules().empty()) {
    return MakeError(
        Error::kValidationFailed,
        StrCat(path.string(), ": no tensor is quantized, although it has ", quantization->place),
        "Check that config.json and the weights belong together");
  }
  RETURN_IF_ERROR(CheckComplete(config, *weights)) << path.string();
  Conversion conversion;
  if (to == kGguf) {
    const std::string& name = config.architecture();
    if (FindArchitecture(name) == nullptr) {
      return MakeError(
          Error::kUnsupportedConversion,
          StrCat(path.string(), "/config.json: architectures: found ",
                 name.empty() ? "nothing, expected one that has a form in gguf here"
                              : StrCat(PrintableName(name), ", which has no form in gguf here")),
          "Convert between awq and gptq only");
    }
    ASSIGN_OR_RETURN(conversion, ToGguf(*packed, path.string()).Plan(level));
  } else {
    const PackedMethod method = to == kAwq ? PackedMethod::kAwq : PackedMethod::kGptq;
    ASSIGN_OR_RETURN(const BitLevel wanted, FindBitLevel(method, level.empty() ? "4bit" : level));
    ASSIGN_OR_RETURN(conversion, ToPacked(*packed, method, wanted), << path.string());
  }
  conversion.from = StrCat(from, " ", scheme->bits, "bit");
  return conversion;
}

// Bits of a type's codes: 4 of Q4_0, Q4_1, Q4_K and IQ4_XS, which spend the rest on scales.
int CodeBits(TypeId id) {
  const kernels::QuantType& type = kernels::QuantTypeOf(id);
  const double bits = 8.0 * type.block_bytes / type.block_values;
  return static_cast<int>(std::ceil(bits)) - 1;
}

// The level with at least as many bits as the codes of most weights; never fewer than 4, which lose
// far more than they spare and which few programs load.
BitLevel NearestLevel(PackedMethod method,
                      const std::vector<const TensorSource::Tensor*>& linears) {
  std::map<int, uint64_t> weights_by_bits;
  for (const TensorSource::Tensor* linear : linears) {
    weights_by_bits[CodeBits(GgufTensorSource::TypeOf(*linear))] +=
        linear->shape[0] * linear->shape[1];
  }
  const int most = std::ranges::max_element(weights_by_bits, {}, [](const auto& row) {
                     return row.second;
                   })->first;
  for (const int bits : {4, 8}) {
    if (bits < most && bits < 8) continue;
    const absl::StatusOr<BitLevel> level = FindBitLevel(method, StrCat(bits, "bit"));
    if (level.ok()) return *level;
  }
  return {"4bit", 4};  // all that AWQ has
}

// Whether float16 holds all of the tensor. Values are read of vectors, which GGUF keeps as float32;
// of matrices the type is the answer.
absl::StatusOr<bool> IsHalf(const GgufTensorSource& source, const TensorSource::Tensor& tensor) {
  if (GgufTensorSource::TypeOf(tensor) == TypeId::kF16) return true;
  if (tensor.shape.size() > 1) return false;
  std::vector<float> values(tensor.shape[0]);
  RETURN_IF_ERROR(source.ReadRows(tensor, 0, 1, values.data()));
  return std::ranges::all_of(values, [](float value) { return IsHalf(value); });
}

absl::StatusOr<Conversion> OfGgufToPacked(const fs::path& path, PackedMethod to,
                                          std::string_view wanted_level) {
  ASSIGN_OR_RETURN(const GgufModel model, OpenGgufModel(path), << path.string());
  const std::vector<const TensorSource::Tensor*> linears = LinearsOf(model);
  if (linears.empty()) {
    return MakeError(
        Error::kUnsupportedConversion,
        StrCat(path.string(), " has no linears, which is all that ", NameOf(to), " quantizes"),
        "Convert to another level of gguf");
  }
  const auto other_grid = [&](int bits) {
    return std::ranges::find_if(linears, [bits](const TensorSource::Tensor* linear) {
      return !CodesHold(GgufTensorSource::TypeOf(*linear), bits);
    });
  };
  BitLevel level;
  if (!wanted_level.empty()) {
    ASSIGN_OR_RETURN(level, FindBitLevel(to, wanted_level));
  } else if (other_grid(4) == linears.end() || to == PackedMethod::kAwq) {
    level = {"4bit", 4};
  } else if (other_grid(8) == linears.end()) {
    level = {"8bit", 8};
  } else {
    level = NearestLevel(to, linears);
  }
  Conversion conversion;
  conversion.level = level.name;
  conversion.packed = {.method = to, .bits = level.bits, .group_size = 32};
  conversion.packed.sym = to == PackedMethod::kGptq;
  if (const auto other = other_grid(level.bits); other != linears.end()) {
    AnewLinears anew;
    for (const TensorSource::Tensor* linear : linears) {
      anew.Count(ModuleOfWeight(linear->name), linear->shape[0] * linear->shape[1],
                 !CodesHold(GgufTensorSource::TypeOf(*linear), level.bits));
    }
    QuantizeAnew(anew,
                 StrCat((*other)->name, " is ", (*other)->type, ", which codes of ", level.bits,
                        " bits do not hold"),
                 conversion);
    return conversion;
  }
  ASSIGN_OR_RETURN(conversion.packed.group_size, GroupSizeOf(*model.tensors, linears, level.bits),
                   << path.string());
  for (const TensorSource::Tensor* tensor : model.tensors->tensors()) {
    if (std::ranges::find(linears, tensor) != linears.end()) continue;
    ASSIGN_OR_RETURN(const bool is_half, IsHalf(*model.tensors, *tensor), << path.string());
    if (is_half) continue;
    conversion.fidelity = Fidelity::kRounded;
    conversion.why = StrCat(tensor->name, " is ", tensor->type, " and becomes float16");
    break;
  }
  return conversion;
}

absl::StatusOr<Conversion> OfGguf(const fs::path& path, std::string_view to,
                                  std::string_view level) {
  ASSIGN_OR_RETURN(const std::unique_ptr<ModelSource> source, OpenModelSource(path, {}));
  if (!HasBlocks(source->tensors())) return NotQuantized(path, source->summary().dtype, to);
  Conversion conversion;
  conversion.from = StrCat("gguf ", source->summary().dtype);
  if (to != kGguf) {
    const PackedMethod method = to == kAwq ? PackedMethod::kAwq : PackedMethod::kGptq;
    ASSIGN_OR_RETURN(Conversion packed, OfGgufToPacked(path, method, level));
    packed.from = conversion.from;
    return packed;
  }
  if (level.empty()) {
    return MakeError(Error::kInvalidArgument,
                     "a conversion from gguf to gguf needs a level, and has no default",
                     "Name it: -q Q4_K_M");
  }
  ASSIGN_OR_RETURN(const Recipe* recipe, MakableRecipe(level));
  if (recipe->is_float()) {
    Conversion widened = AtFloatLevel(*recipe);
    widened.from = conversion.from;
    return widened;
  }
  conversion.level = recipe->name;
  if (recipe->is_copy()) return conversion;
  conversion.fidelity = Fidelity::kRequantized;
  conversion.why = StrCat("tensors of ", source->summary().dtype, " are quantized anew");
  return conversion;
}

}  // namespace

std::string_view NameOf(Fidelity fidelity) {
  switch (fidelity) {
    case Fidelity::kExact:
      return "exact";
    case Fidelity::kRounded:
      return "rounded";
    case Fidelity::kRequantized:
      return "requantized";
  }
  CHECK(!"a Fidelity without a case");
}

std::span<const ConversionRow> AllConversions() { return kConversions; }

absl::StatusOr<Conversion> PlanConversion(const fs::path& model, std::string_view to,
                                          std::string_view level) {
  ASSIGN_OR_RETURN(const LocatedModel located, LocateModel(model));
  absl::StatusOr<Conversion> conversion = located.kind == ModelKind::kGgufFile
                                              ? OfGguf(located.path, to, level)
                                              : OfDirectory(located.path, to, level);
  if (conversion.ok()) conversion->to = to;
  return conversion;
}

}  // namespace quantized
