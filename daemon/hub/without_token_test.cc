#include "daemon/hub/without_token.h"

#include "core/base/error.h"
#include "gtest/gtest.h"

namespace quantized {
namespace {

TEST(WithoutTokenTest, InMessageAndSuggestion) {
  EXPECT_EQ(WithoutToken("a hf_Ab, HF_AB and hf_Abc", "hf_Ab"), "a [token], [token] and [token]c");
  EXPECT_EQ(WithoutToken("hf_Ab", "hf_Ab"), "[token]");
  EXPECT_EQ(WithoutToken("no token", "hf_Ab"), "no token");
  EXPECT_EQ(WithoutToken("", "hf_Ab"), "");
  EXPECT_EQ(WithoutToken("anything", ""), "anything");
  const absl::Status failure = WithoutToken(
      MakeError(Error::kAuthenticationRequired, "refused hf_Ab", "see http://x/hf_Ab"), "hf_Ab");
  EXPECT_EQ(ErrorOf(failure), Error::kAuthenticationRequired);
  EXPECT_EQ(failure.message(), "refused [token]");
  EXPECT_EQ(SuggestionOf(failure), "see http://x/[token]");
  EXPECT_TRUE(WithoutToken(absl::OkStatus(), "hf_Ab").ok());
}

}  // namespace
}  // namespace quantized
