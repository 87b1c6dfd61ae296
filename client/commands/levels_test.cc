#include "client/commands/levels.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"

namespace quantized {
namespace {

using ::testing::ElementsAre;

std::string Refused(std::string_view text) {
  const auto levels = ParseLevels(text);
  EXPECT_FALSE(levels.ok()) << text;
  if (levels.ok()) return "";
  EXPECT_EQ(ErrorOf(levels.status()), Error::kInvalidArgument);
  return std::string(levels.status().message());
}

TEST(ParseLevelsTest, KeepsOrderAndSpelling) {
  EXPECT_THAT(*ParseLevels("Q4_K_M"), ElementsAre("Q4_K_M"));
  EXPECT_THAT(*ParseLevels("q6_k,Q4_K_M,4bit"), ElementsAre("q6_k", "Q4_K_M", "4bit"));
}

TEST(ParseLevelsTest, RefusesWhatCouldBeNoLevel) {
  EXPECT_EQ(Refused("../x"), "option '--quant-level': '../x' is not a level");
  EXPECT_EQ(Refused("Q4 K,Q8_0,é"), "option '--quant-level': 'Q4 K', 'é' are no levels");
  EXPECT_EQ(Refused("Q8_0,"), "option '--quant-level': '' is not a level");
}

TEST(ParseLevelsTest, RefusesALevelThatIsThereTwice) {
  EXPECT_EQ(Refused("Q8_0,F16,q8_0"), "option '--quant-level': 'q8_0' is given twice");
  EXPECT_EQ(Refused("Q8_0,F16,Q8_0,F16"), "option '--quant-level': 'Q8_0', 'F16' are given twice");
}

}  // namespace
}  // namespace quantized
