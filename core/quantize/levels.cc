#include "core/quantize/levels.h"

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "core/base/error.h"
#include "core/base/str_cat.h"

namespace quantized {
namespace {

using kernels::TypeId;

constexpr auto kRecipes = std::to_array<Recipe>({
    {Level::kF32, "F32", 0, TypeId::kF32},
    {Level::kF16, "F16", 1, TypeId::kF16},
    {Level::kBF16, "BF16", 32, TypeId::kBF16},
    {Level::kQ8_0, "Q8_0", 7, TypeId::kQ8_0},
    {Level::kQ4_0, "Q4_0", 2, TypeId::kQ4_0},
    {Level::kQ4_1, "Q4_1", 3, TypeId::kQ4_1},
    {Level::kQ5_0, "Q5_0", 8, TypeId::kQ5_0},
    {Level::kQ5_1, "Q5_1", 9, TypeId::kQ5_1},
    {Level::kQ2_K, "Q2_K", 10, TypeId::kQ2_K},
    {Level::kQ2_K_S, "Q2_K_S", 21, TypeId::kQ2_K},
    {Level::kQ3_K_S, "Q3_K_S", 11, TypeId::kQ3_K},
    {Level::kQ3_K_M, "Q3_K_M", 12, TypeId::kQ3_K},
    {Level::kQ3_K_L, "Q3_K_L", 13, TypeId::kQ3_K},
    {Level::kQ4_K_S, "Q4_K_S", 14, TypeId::kQ4_K},
    {Level::kQ4_K_M, "Q4_K_M", 15, TypeId::kQ4_K},
    {Level::kQ5_K_S, "Q5_K_S", 16, TypeId::kQ5_K},
    {Level::kQ5_K_M, "Q5_K_M", 17, TypeId::kQ5_K},
    {Level::kQ6_K, "Q6_K", 18, TypeId::kQ6_K},
    {Level::kIQ1_S, "IQ1_S", 24, TypeId::kIQ1_S},
    {Level::kIQ1_M, "IQ1_M", 31, TypeId::kIQ1_M},
    {Level::kIQ2_XXS, "IQ2_XXS", 19, TypeId::kIQ2_XXS},
    {Level::kIQ2_XS, "IQ2_XS", 20, TypeId::kIQ2_XS},
    {Level::kIQ2_S, "IQ2_S", 28, TypeId::kIQ2_XS},
    {Level::kIQ2_M, "IQ2_M", 29, TypeId::kIQ2_S},
    {Level::kIQ3_XXS, "IQ3_XXS", 23, TypeId::kIQ3_XXS},
    {Level::kIQ3_XS, "IQ3_XS", 22, TypeId::kIQ3_S},
    {Level::kIQ3_S, "IQ3_S", 26, TypeId::kIQ3_S},
    {Level::kIQ3_M, "IQ3_M", 27, TypeId::kIQ3_S},
    {Level::kIQ4_NL, "IQ4_NL", 25, TypeId::kIQ4_NL},
    {Level::kIQ4_XS, "IQ4_XS", 30, TypeId::kIQ4_XS},
    {Level::kTQ1_0, "TQ1_0", 36, TypeId::kTQ1_0},
    {Level::kTQ2_0, "TQ2_0", 37, TypeId::kTQ2_0},
    {Level::kMXFP4_MOE, "MXFP4_MOE", 38, TypeId::kMXFP4},
    {Level::kQ1_0, "Q1_0", 40, TypeId::kQ1_0},
    {Level::kQ2_0, "Q2_0", 41, TypeId::kQ2_0},
    {Level::kCopy, "COPY", 0, TypeId::kF32},
});

constexpr bool InOrderOfLevel() {
  for (size_t i = 0; i < kRecipes.size(); ++i) {
    if (static_cast<size_t>(kRecipes[i].level) != i) return false;
  }
  return true;
}
static_assert(InOrderOfLevel());

struct Alias {
  std::string_view name;
  Level level;
};
constexpr auto kAliases = std::to_array<Alias>({
    {"Q3_K", Level::kQ3_K_M},
    {"Q4_K", Level::kQ4_K_M},
    {"Q5_K", Level::kQ5_K_M},
});

// Levels of the formats awq and gptq.
constexpr auto kOtherFormatsLevels =
    std::to_array<std::string_view>({"2bit", "3bit", "4bit", "8bit"});

bool SameName(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) {
    return absl::ascii_toupper(x) == absl::ascii_toupper(y);
  });
}

bool Contains(std::span<const std::string_view> names, std::string_view name) {
  return std::any_of(names.begin(), names.end(),
                     [&](std::string_view other) { return SameName(other, name); });
}

// Levenshtein distance without regard to case.
size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const bool same = absl::ascii_toupper(a[i - 1]) == absl::ascii_toupper(b[j - 1]);
      const size_t replaced = diagonal + (same ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row.back();
}

std::string AllNames() {
  std::string names;
  for (const Recipe& recipe : kRecipes) {
    if (!names.empty()) names += ", ";
    names += recipe.name;
  }
  return names;
}

absl::Status UnknownLevel(std::string_view name) {
  // A long name is no typing error, and the distance costs its square.
  constexpr size_t kLongestTypo = 16;
  const auto nearest =
      std::min_element(kRecipes.begin(), kRecipes.end(), [&](const Recipe& a, const Recipe& b) {
        return name.size() <= kLongestTypo &&
               EditDistance(name, a.name) < EditDistance(name, b.name);
      });
  const bool is_near = name.size() <= kLongestTypo &&
                       EditDistance(name, nearest->name) * 2 <= std::max<size_t>(name.size(), 4);
  const std::string hint = is_near ? StrCat("; did you mean ", nearest->name, "?") : "";
  return MakeError(Error::kInvalidArgument,
                   StrCat("unknown quantization level '", name, "' for gguf", hint),
                   StrCat("Use one of ", AllNames()));
}

}  // namespace

std::span<const Recipe> AllRecipes() { return kRecipes; }

const Recipe& RecipeOf(Level level) { return kRecipes[static_cast<size_t>(level)]; }

absl::StatusOr<const Recipe*> FindRecipe(std::string_view name) {
  for (const Recipe& recipe : kRecipes) {
    if (SameName(recipe.name, name)) return &recipe;
  }
  for (const Alias& alias : kAliases) {
    if (SameName(alias.name, name)) return &RecipeOf(alias.level);
  }
  uint32_t number = 0;
  if (!name.empty() && std::all_of(name.begin(), name.end(), absl::ascii_isdigit) &&
      absl::SimpleAtoi(std::string(name), &number)) {
    for (const Recipe& recipe : kRecipes) {
      if (recipe.file_type == number && !recipe.is_copy()) return &recipe;
    }
  }
  if (Contains(kOtherFormatsLevels, name)) {
    return MakeError(Error::kInvalidArgument,
                     StrCat("quantization level '", name, "' belongs to the formats awq and gptq"),
                     StrCat("For gguf use one of ", AllNames()));
  }
  return UnknownLevel(name);
}

}  // namespace quantized
