#include "core/hf/tokenizer/regex.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "core/hf/tokenizer/oniguruma_pattern.h"

namespace quantized::tokenizer {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<std::string> Matches(const Regex& regex, std::string_view text) {
  std::vector<std::string> out;
  const auto matches = regex.FindAll(text);
  EXPECT_TRUE(matches.ok()) << matches.status();
  if (!matches.ok()) return out;
  for (const Regex::Match& match : *matches) {
    out.emplace_back(text.substr(match.begin, match.end - match.begin));
  }
  return out;
}

TEST(RegexTest, FindsAllMatches) {
  const auto regex = Regex::Compile(R"(\p{L}+|\d)");
  ASSERT_TRUE(regex.ok()) << regex.status();
  EXPECT_THAT(Matches(*regex, "ab 12 ä-ö"), ElementsAre("ab", "1", "2", "ä", "ö"));
  EXPECT_THAT(Matches(*regex, ""), ElementsAre());
}

TEST(RegexTest, LeavesOutAnEmptyMatchBehindAMatch) {
  const auto regex = Regex::Compile("o*");
  ASSERT_TRUE(regex.ok()) << regex.status();
  EXPECT_THAT(Matches(*regex, "ooä"), ElementsAre("oo", ""));
}

TEST(RegexTest, MatchesLiteralsLiterally) {
  EXPECT_THAT(Matches(Regex::Literal("a."), "a.a.ab"), ElementsAre("a.", "a."));
}

TEST(RegexTest, EndsHostilePatternsWithAnError) {
  const auto regex = Regex::Compile("(?:a+)+b");
  ASSERT_TRUE(regex.ok()) << regex.status();
  // Without a bound this takes 2^40 steps.
  const auto matches = regex->FindAll(std::string(40, 'a') + "cb");
  ASSERT_FALSE(matches.ok());
  EXPECT_EQ(ErrorOf(matches.status()), Error::kValidationFailed);
  EXPECT_THAT(std::string(matches.status().message()), HasSubstr("match limit"));
}

TEST(RegexTest, GrantsLongRunsTheWorkThatTheyNeed) {
  const auto regex = Regex::Compile(R"(\s*[\r\n]+|\s+(?!\S)|\s+|\S+)");
  ASSERT_TRUE(regex.ok()) << regex.status();
  const auto matches = regex->FindAll(std::string(300'000, ' ') + "x");
  ASSERT_TRUE(matches.ok()) << matches.status();
  EXPECT_EQ(matches->size(), 3u);
}

TEST(RegexTest, RefusesWhatIsNoPattern) {
  for (const char* pattern :
       {"(", ")", "[a", "*", "\\", "\xFF", "(?P<x>a)", "\\p{L", "\\pL", "\\Qa", "(*FAIL)", "[a[b]]",
        "[a&&b]", "[\\W]", "\\p{Nonsense}", "x(?i)y"}) {
    SCOPED_TRACE(pattern);
    const auto regex = Regex::Compile(pattern);
    ASSERT_FALSE(regex.ok());
    EXPECT_EQ(ErrorOf(regex.status()), Error::kValidationFailed);
    EXPECT_THAT(std::string(regex.status().message()), HasSubstr("regular expression"));
  }
  EXPECT_FALSE(Regex::Compile(std::string(100'000, 'a')).ok());
  EXPECT_FALSE(Regex::Compile(std::string(1000, '(') + std::string(1000, ')')).ok());
}

// Where both syntaxes agree nothing changes; the rest is compared with Oniguruma itself by
// TokenizerTest.EqualsHuggingFaceFeatureByFeature.
TEST(OnigurumaPatternTest, TranslatesWhatDiffers) {
  const auto translated = [](std::string_view pattern) {
    return TranslateOnigurumaPattern(pattern).value_or("refused");
  };
  EXPECT_EQ(translated(" ?[^a-z]+|(?!x)(?:ab)*?"), " ?[^a-z]+|(?!x)(?:ab)*?");
  EXPECT_EQ(translated("\\p{N}{1,3}+"), "(?:[\\p{N}]{1,3})+");
  EXPECT_EQ(translated("(ab){2}?"), "(?:(ab){2})?");
  EXPECT_EQ(translated("a{,3}"), "a{0,3}");
  EXPECT_EQ(translated("a{1,x}"), "a\\{1,x}");
  EXPECT_EQ(translated("(?mi:.)"), "(?si:.)");
  EXPECT_EQ(translated("\\u00e9\\v"), "\\x{00e9}\\x{b}");
  EXPECT_EQ(translated("\\p{Han}\\P{^Lu}[\\p{Greek}]"), "[\\p{sc:Han}][\\p{Lu}][\\p{sc:Greek}]");
}

}  // namespace
}  // namespace quantized::tokenizer
