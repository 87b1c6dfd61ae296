#include "core/quantize/levels.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "core/base/error.h"

namespace quantized {
namespace {

using ::testing::HasSubstr;

TEST(LevelsTest, EachNameFindsItsRowInAnyCase) {
  for (const Recipe& recipe : AllRecipes()) {
    SCOPED_TRACE(std::string(recipe.name));
    std::string lower(recipe.name);
    for (char& c : lower) c = static_cast<char>(std::tolower(c));
    for (const std::string& name : {std::string(recipe.name), lower}) {
      const auto found = FindRecipe(name);
      ASSERT_TRUE(found.ok()) << found.status();
      EXPECT_EQ(*found, &recipe);
    }
    EXPECT_EQ(&RecipeOf(recipe.level), &recipe);
  }
}

TEST(LevelsTest, FileTypesAreDistinct) {
  for (const Recipe& a : AllRecipes()) {
    for (const Recipe& b : AllRecipes()) {
      if (a.is_copy() || b.is_copy()) continue;  // COPY has none
      EXPECT_EQ(a.file_type == b.file_type, a.level == b.level) << a.name << " and " << b.name;
    }
  }
}

TEST(LevelsTest, AliasesStandForTheMediumMixture) {
  for (const auto& [alias, level] :
       {std::pair{"Q3_K", Level::kQ3_K_M}, std::pair{"q4_k", Level::kQ4_K_M},
        std::pair{"Q5_K", Level::kQ5_K_M}}) {
    const auto found = FindRecipe(alias);
    ASSERT_TRUE(found.ok()) << found.status();
    EXPECT_EQ((*found)->level, level);
  }
}

TEST(LevelsTest, UnknownNameNamesTheNearestAndAll) {
  const auto found = FindRecipe("Q4_KM");
  ASSERT_FALSE(found.ok());
  EXPECT_EQ(ErrorOf(found.status()), Error::kInvalidArgument);
  EXPECT_THAT(std::string(found.status().message()), HasSubstr("did you mean Q4_K_M?"));
  for (const Recipe& recipe : AllRecipes()) {
    EXPECT_THAT(SuggestionOf(found.status()), HasSubstr(std::string(recipe.name)));
  }
}

TEST(LevelsTest, NothingNearIsNotGuessed) {
  for (const std::string& name :
       {std::string("banana"), std::string(), std::string(1 << 20, 'Q')}) {
    const auto found = FindRecipe(name);
    ASSERT_FALSE(found.ok());
    EXPECT_EQ(ErrorOf(found.status()), Error::kInvalidArgument);
    EXPECT_EQ(std::string(found.status().message()).find("did you mean"), std::string::npos);
  }
}

TEST(LevelsTest, FileTypesNameTheirLevels) {
  for (const Recipe& recipe : AllRecipes()) {
    if (recipe.is_copy()) continue;
    const auto found = FindRecipe(std::to_string(recipe.file_type));
    ASSERT_TRUE(found.ok()) << found.status();
    EXPECT_EQ(*found, &recipe);
  }
  for (const char* name : {"4", "99", "99999999999", "-1", "1.0"}) {
    EXPECT_EQ(ErrorOf(FindRecipe(name).status()), Error::kInvalidArgument) << name;
  }
}

TEST(LevelsTest, LevelsOfOtherFormatsSaySo) {
  const auto found = FindRecipe("4bit");
  ASSERT_FALSE(found.ok());
  EXPECT_EQ(ErrorOf(found.status()), Error::kInvalidArgument);
  EXPECT_THAT(std::string(found.status().message()), HasSubstr("awq and gptq"));
}

}  // namespace
}  // namespace quantized
