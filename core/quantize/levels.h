// The levels of the GGUF format: what a user may name, and what each stands for. One row per level
// in kRecipes; which tensor gets which type at a level is in core/quantize/selection_rules.h.
// Everything here is constant and thread-safe.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "absl/status/statusor.h"
#include "kernels/types/quant_type.h"

namespace quantized {

enum class Level : uint8_t {
  kF32,
  kF16,
  kBF16,
  kQ8_0,
  kQ4_0,
  kQ4_1,
  kQ5_0,
  kQ5_1,
  kQ2_K,
  kQ2_K_S,
  kQ3_K_S,
  kQ3_K_M,
  kQ3_K_L,
  kQ4_K_S,
  kQ4_K_M,
  kQ5_K_S,
  kQ5_K_M,
  kQ6_K,
  kIQ1_S,
  kIQ1_M,
  kIQ2_XXS,
  kIQ2_XS,
  kIQ2_S,
  kIQ2_M,
  kIQ3_XXS,
  kIQ3_XS,
  kIQ3_S,
  kIQ3_M,
  kIQ4_NL,
  kIQ4_XS,
  kTQ1_0,
  kTQ2_0,
  kMXFP4_MOE,
  kQ1_0,
  kQ2_0,
  kCopy,
};

struct Recipe {
  Level level;
  std::string_view name;         // canonical: "Q4_K_M"
  uint32_t file_type;            // the value of `general.file_type`
  kernels::TypeId default_type;  // of each eligible tensor for which no rule says otherwise

  // All tensors keep their types, and the file its `general.file_type`; the two fields above mean
  // nothing.
  bool is_copy() const { return level == Level::kCopy; }
  // At a float level each eligible tensor takes the default type; no rule applies.
  bool is_float() const {
    return !is_copy() &&
           (default_type == kernels::TypeId::kF32 || default_type == kernels::TypeId::kF16 ||
            default_type == kernels::TypeId::kBF16);
  }
};

// All rows, ordered by Level.
std::span<const Recipe> AllRecipes();
const Recipe& RecipeOf(Level level);

// The row with this name or alias ("Q4_K" is Q4_K_M), in any case, or with this file type in
// digits. Errors: kInvalidArgument, naming the levels that exist and the nearest one.
absl::StatusOr<const Recipe*> FindRecipe(std::string_view name);

}  // namespace quantized
