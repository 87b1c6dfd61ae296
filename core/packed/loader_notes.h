// Which programs load a checkpoint, told before it is made. A table of rules, read out of the
// loaders' sources; docs/formats/gptq.md and docs/formats/awq.md, "Loaders", give it in words.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/packed/checkpoint_config.h"

namespace quantized {

enum class Verdict {
  kLoads,
  kSlow,     // loads, but not with its fast kernels
  kRefuses,  // does not load, or computes something else
};

// "loads", "slow path", "refuses".
std::string_view NameOf(Verdict verdict);

// A quantized linear layer as it is stored.
struct LinearShape {
  std::string name;
  size_t out = 0, in = 0;
  // Tensor parallelism divides its inputs (o_proj, down_proj), not its outputs.
  bool splits_input = false;
};

struct LoaderNote {
  std::string_view loader;
  Verdict verdict = Verdict::kLoads;
  std::string why;  // of the rule that decided, with the first layer that it holds for
};

// One note per loader, in a fixed order: the worst that any rule says. `tensor_parallel` is the
// number of devices that share each layer, 1 or more. Layers are judged one by one; a loader that
// joins some (q, k and v) may do better than kSlow.
std::vector<LoaderNote> LoaderNotes(const PackedOptions& options,
                                    std::span<const LinearShape> layers, size_t tensor_parallel);

}  // namespace quantized
