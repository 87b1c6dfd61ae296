#include "core/packed/loader_notes.h"

#include <algorithm>
#include <array>
#include <optional>

#include "core/base/check.h"
#include "core/base/str_cat.h"

namespace quantized {
namespace {

// What a rule is asked about. Rules over layers meet each of them, with the sizes of one device.
struct Question {
  const PackedOptions& options;
  size_t out = 0, in = 0, tensor_parallel = 1;
  bool is_divisible = true;  // by the number of devices
  bool splits_input = false;
};

using Holds = bool (*)(const Question&);

bool Always(const Question&) { return true; }
bool IsAsymmetric(const Question& q) { return !q.options.sym; }
bool IsNot4Or8Bits(const Question& q) { return q.options.bits != 4 && q.options.bits != 8; }
bool IsMisreadVersion2(const Question& q) {
  return q.options.version == GptqVersion::kV2 && (IsAsymmetric(q) || IsNot4Or8Bits(q));
}
bool IsReordered(const Question& q) { return q.options.desc_act && q.options.group_size != -1; }
bool IsOddGroupSize(const Question& q) {
  constexpr int64_t kGroupSizes[] = {-1, 32, 64, 128};
  return std::ranges::count(kGroupSizes, q.options.group_size) == 0;
}
bool IsIndivisible(const Question& q) { return !q.is_divisible; }
bool CutsGroups(const Question& q) {
  return q.options.group_size != -1 && q.in % static_cast<size_t>(q.options.group_size) != 0;
}
bool CutsRows(const Question& q) {
  return q.options.group_size == -1 && q.splits_input && q.tensor_parallel > 1;
}
bool CutsWords(const Question& q) { return q.out % 8 != 0; }
bool IsNoMarlinShape(const Question& q) { return q.in % 128 != 0 || q.out % 64 != 0; }

enum class Over { kOptions, kLayers };

struct Rule {
  std::string_view loader;
  PackedMethod method;
  Over over;
  Holds holds;
  Verdict verdict;
  std::string_view why;
};

constexpr std::string_view kVllm = "vLLM", kSglang = "SGLang", kTransformers = "transformers",
                           kGptqModel = "GPTQModel";
constexpr std::string_view kLoaders[] = {kVllm, kSglang, kTransformers, kGptqModel};
constexpr auto kGptq = PackedMethod::kGptq, kAwq = PackedMethod::kAwq;

constexpr std::string_view kIndivisible = "sizes must be divisible by the number of devices";
constexpr std::string_view kCutGroups = "the inputs of a device must be whole groups";
constexpr std::string_view kMarlin =
    "its Marlin kernels take inputs in multiples of 128 and outputs in multiples of 64";
constexpr std::string_view kOrder = "activation order makes its kernels gather channels";

// Of the rules that hold, the worst verdict counts; of those with it, the first.
constexpr std::array kRules = {
    Rule{kVllm, kGptq, Over::kOptions, Always, Verdict::kLoads, "Marlin kernels"},
    Rule{kVllm, kGptq, Over::kOptions, IsNot4Or8Bits, Verdict::kRefuses, "takes 4 and 8 bits only"},
    Rule{kVllm, kGptq, Over::kOptions, IsAsymmetric, Verdict::kRefuses,
         "takes symmetric quantization only"},
    Rule{kVllm, kGptq, Over::kOptions, IsOddGroupSize, Verdict::kRefuses,
         "takes group sizes 32, 64, 128 and -1 only"},
    Rule{kVllm, kGptq, Over::kOptions, IsReordered, Verdict::kSlow, kOrder},
    Rule{kVllm, kGptq, Over::kLayers, IsIndivisible, Verdict::kRefuses, kIndivisible},
    Rule{kVllm, kGptq, Over::kLayers, CutsGroups, Verdict::kRefuses, kCutGroups},
    Rule{kVllm, kGptq, Over::kLayers, IsNoMarlinShape, Verdict::kSlow, kMarlin},

    Rule{kVllm, kAwq, Over::kOptions, Always, Verdict::kLoads, "Marlin kernels"},
    Rule{kVllm, kAwq, Over::kOptions, IsOddGroupSize, Verdict::kSlow,
         "its Marlin kernels take group sizes 32, 64, 128 and -1 only"},
    Rule{kVllm, kAwq, Over::kLayers, IsIndivisible, Verdict::kRefuses, kIndivisible},
    Rule{kVllm, kAwq, Over::kLayers, CutsGroups, Verdict::kRefuses, kCutGroups},
    Rule{kVllm, kAwq, Over::kLayers, CutsRows, Verdict::kRefuses, kCutGroups},
    Rule{kVllm, kAwq, Over::kLayers, CutsWords, Verdict::kRefuses,
         "the outputs of a device must be a multiple of 8"},
    Rule{kVllm, kAwq, Over::kLayers, IsNoMarlinShape, Verdict::kSlow, kMarlin},

    Rule{kSglang, kGptq, Over::kOptions, Always, Verdict::kLoads, "Marlin kernels"},
    Rule{kSglang, kGptq, Over::kOptions, IsMisreadVersion2, Verdict::kRefuses,
         "reads version 2 as version 1: every weight would be off by its scale"},
    Rule{kSglang, kGptq, Over::kOptions, IsNot4Or8Bits, Verdict::kSlow,
         "its Marlin kernels take 4 and 8 bits only"},
    Rule{kSglang, kGptq, Over::kOptions, IsAsymmetric, Verdict::kSlow,
         "its Marlin kernels take symmetric quantization only"},
    Rule{kSglang, kGptq, Over::kOptions, IsOddGroupSize, Verdict::kSlow,
         "its Marlin kernels take group sizes 32, 64, 128 and -1 only"},
    Rule{kSglang, kGptq, Over::kOptions, IsReordered, Verdict::kSlow, kOrder},
    Rule{kSglang, kGptq, Over::kLayers, IsIndivisible, Verdict::kRefuses, kIndivisible},
    Rule{kSglang, kGptq, Over::kLayers, CutsGroups, Verdict::kRefuses, kCutGroups},
    Rule{kSglang, kGptq, Over::kLayers, IsNoMarlinShape, Verdict::kSlow, kMarlin},

    Rule{kSglang, kAwq, Over::kOptions, Always, Verdict::kLoads, "Marlin kernels"},
    Rule{kSglang, kAwq, Over::kOptions, IsOddGroupSize, Verdict::kSlow,
         "its Marlin kernels take group sizes 32, 64, 128 and -1 only"},
    Rule{kSglang, kAwq, Over::kLayers, IsIndivisible, Verdict::kRefuses, kIndivisible},
    Rule{kSglang, kAwq, Over::kLayers, CutsGroups, Verdict::kRefuses, kCutGroups},
    Rule{kSglang, kAwq, Over::kLayers, CutsRows, Verdict::kRefuses, kCutGroups},
    Rule{kSglang, kAwq, Over::kLayers, CutsWords, Verdict::kRefuses,
         "the outputs of a device must be a multiple of 8"},
    Rule{kSglang, kAwq, Over::kLayers, IsNoMarlinShape, Verdict::kSlow, kMarlin},

    Rule{kTransformers, kGptq, Over::kOptions, Always, Verdict::kLoads,
         "through optimum and GPTQModel"},
    Rule{kTransformers, kAwq, Over::kOptions, Always, Verdict::kLoads,
         "through GPTQModel from version 5 on, through AutoAWQ before"},
    Rule{kGptqModel, kGptq, Over::kOptions, Always, Verdict::kLoads, "takes every form of it"},
    Rule{kGptqModel, kAwq, Over::kOptions, Always, Verdict::kLoads, "takes the GEMM form"},
};

constexpr bool EachLoaderHasABase() {
  for (const std::string_view loader : kLoaders) {
    for (const PackedMethod method : {kGptq, kAwq}) {
      bool found = false;
      for (const Rule& rule : kRules) {
        found = found || (rule.loader == loader && rule.method == method && rule.holds == Always);
      }
      if (!found) return false;
    }
  }
  return true;
}
static_assert(EachLoaderHasABase());

Question About(const PackedOptions& options, const LinearShape& layer, size_t devices) {
  const size_t split = layer.splits_input ? layer.in : layer.out;
  return {.options = options,
          .out = layer.splits_input ? layer.out : layer.out / devices,
          .in = layer.splits_input ? layer.in / devices : layer.in,
          .tensor_parallel = devices,
          .is_divisible = split % devices == 0,
          .splits_input = layer.splits_input};
}

std::string NameWithShape(const LinearShape& layer, size_t devices) {
  return StrCat(layer.name, " has ", layer.in, " inputs and ", layer.out, " outputs",
                devices == 1 ? std::string() : StrCat(" for ", devices, " devices"));
}

// Why `rule` holds; nothing where it does not.
std::optional<std::string> WhyHolds(const Rule& rule, const PackedOptions& options,
                                    std::span<const LinearShape> layers, size_t devices) {
  if (rule.over == Over::kOptions) {
    if (!rule.holds(Question{.options = options})) return std::nullopt;
    return std::string(rule.why);
  }
  const auto layer = std::ranges::find_if(layers, [&](const LinearShape& candidate) {
    return rule.holds(About(options, candidate, devices));
  });
  if (layer == layers.end()) return std::nullopt;
  return StrCat(rule.why, "; ", NameWithShape(*layer, devices));
}

}  // namespace

std::string_view NameOf(Verdict verdict) {
  constexpr std::string_view kNames[] = {"loads", "slow path", "refuses"};
  return kNames[static_cast<size_t>(verdict)];
}

std::vector<LoaderNote> LoaderNotes(const PackedOptions& options,
                                    std::span<const LinearShape> layers, size_t tensor_parallel) {
  CHECK(tensor_parallel >= 1);
  std::vector<LoaderNote> notes;
  for (const std::string_view loader : kLoaders) {
    std::optional<LoaderNote> note;
    for (const Rule& rule : kRules) {
      if (rule.loader != loader || rule.method != options.method) continue;
      if (note && rule.verdict <= note->verdict) continue;
      std::optional<std::string> why = WhyHolds(rule, options, layers, tensor_parallel);
      if (why) note = LoaderNote{loader, rule.verdict, *std::move(why)};
    }
    notes.push_back(*std::move(note));
  }
  return notes;
}

}  // namespace quantized
