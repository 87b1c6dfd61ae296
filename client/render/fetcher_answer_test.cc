#include "client/render/fetcher_answer.h"

#include <gtest/gtest.h>

namespace quantized {
namespace {

TEST(FetcherAnswerTest, MessagesAreToldApartFromOtherLines) {
  EXPECT_EQ(FetcherMessage(R"({"event":"message","message":"one"})"), "one");
  for (const char* other :
       {R"({"event":"progress","done_bytes":1,"total_bytes":2})", "no JSON", "[]", ""}) {
    EXPECT_EQ(FetcherMessage(other), "") << other;
  }
}

TEST(FetcherAnswerTest, APinnedModelHasAllThatAJobNeeds) {
  const auto pinned = ParsePinnedModel(
      R"({"status":"success","repository":"org/name","revision":"main","commit":"0123",
          "endpoint":"https://hub","offline":true,"cache_dir":"/ours","shared_cache_dir":"/theirs",
          "certificates":"/ca.pem","token":"hf_secret"})");
  ASSERT_TRUE(pinned.ok()) << pinned.status();
  EXPECT_EQ(pinned->token, "hf_secret");
  EXPECT_EQ(pinned->model.repository(), "org/name");
  EXPECT_EQ(pinned->model.revision(), "main");
  EXPECT_EQ(pinned->model.commit(), "0123");
  EXPECT_EQ(pinned->model.endpoint(), "https://hub");
  EXPECT_TRUE(pinned->model.offline());
  EXPECT_EQ(pinned->model.cache_dir(), "/ours");
  EXPECT_EQ(pinned->model.shared_cache_dir(), "/theirs");
  EXPECT_EQ(pinned->model.certificates(), "/ca.pem");
  EXPECT_TRUE(pinned->model.has_token());
  EXPECT_FALSE(ParsePinnedModel(R"({"repository":"org/name"})").ok());
  EXPECT_FALSE(ParsePinnedModel("").ok());
}

TEST(FetcherAnswerTest, APathIsNeeded) {
  const auto headers =
      ParseFetchedHeaders(R"({"status":"success","path":"/cache/model","missing_bytes":7})");
  ASSERT_TRUE(headers.ok()) << headers.status();
  EXPECT_EQ(headers->path, "/cache/model");
  EXPECT_EQ(headers->missing_bytes, 7);
  for (const char* answer : {"", "[]", "{}", R"({"path":7})"}) {
    EXPECT_FALSE(ParseFetchedHeaders(answer).ok()) << answer;
  }
}

}  // namespace
}  // namespace quantized
