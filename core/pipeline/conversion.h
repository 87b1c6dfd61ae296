// What `convert` makes of a quantized model: which level, and at what loss. The table that
// `convert --list` shows. Why each pair is as it is: docs/design/convert.md.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "core/packed/checkpoint_config.h"
#include "kernels/types/quant_type.h"

namespace quantized {

enum class Fidelity {
  kExact,        // every weight keeps its value
  kRounded,      // codes and scales are kept; what the format has besides is rounded
  kRequantized,  // weights are quantized anew
};
std::string_view NameOf(Fidelity fidelity);  // "exact"

// A pair of formats, in words.
struct ConversionRow {
  std::string_view from, to;       // "gguf", "awq", "gptq"
  std::string_view default_level;  // "" where there is none and one has to be named
  std::string_view exact;          // when nothing is lost; "" for never
  std::string_view otherwise;      // what happens then
};
std::span<const ConversionRow> AllConversions();

struct Conversion {
  std::string from;   // "gptq 4bit", "gguf Q4_K"
  std::string to;     // "gguf"
  std::string level;  // canonical
  Fidelity fidelity = Fidelity::kExact;
  std::string why;  // it is not exact
  // To gguf, where the linears of a directory are written as blocks of this type.
  std::optional<kernels::TypeId> blocks = {};
  // To awq and gptq, what the configuration of the result says,
  PackedOptions packed = {};
  // and the modules whose weights are quantized anew: all others keep their codes and scales.
  std::set<std::string, std::less<>> anew = {};
};

// `level` may be empty: the one that loses nothing, else the nearest. Errors: kModelNotFound;
// kUnsupportedConversion for a model that is not quantized, for a pair or a level that cannot be
// made, saying what can be made instead; kInvalidArgument for an unknown level; those of reading
// the model.
absl::StatusOr<Conversion> PlanConversion(const std::filesystem::path& model, std::string_view to,
                                          std::string_view level);

}  // namespace quantized
