#include "client/render/fetcher_answer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace quantized {
namespace {

using ::testing::ElementsAre;

TEST(FetcherAnswerTest, MessagesAreTakenOutOfTheLines) {
  EXPECT_THAT(FetcherMessages("{\"event\":\"progress\",\"done_bytes\":1,\"total_bytes\":2}\n"
                              "{\"event\":\"message\",\"message\":\"one\"}\n"
                              "no JSON\n\n[]\n"
                              "{\"event\":\"message\",\"message\":\"two\"}"),
              ElementsAre("one", "two"));
  EXPECT_TRUE(FetcherMessages("").empty());
}

TEST(FetcherAnswerTest, APathIsNeeded) {
  EXPECT_EQ(*FetchedPath(R"({"status":"success","path":"/cache/model"})"), "/cache/model");
  for (const char* answer : {"", "[]", "{}", R"({"path":7})"}) {
    EXPECT_FALSE(FetchedPath(answer).ok()) << answer;
  }
}

}  // namespace
}  // namespace quantized
