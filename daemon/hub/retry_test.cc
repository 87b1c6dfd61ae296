#include "daemon/hub/retry.h"

#include "daemon/hub/hub_test.h"

namespace quantized {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;

const absl::Status kFault = MakeError(Error::kIo, "no answer");

TEST(RetriesTest, WaitsLongerEachTime) {
  NoWaiter waiter;
  Retries retries(
      {.attempts = 8, .first_wait = milliseconds(100), .longest_wait = milliseconds(2000)}, waiter);
  for (int i = 0; i < 7; ++i) EXPECT_TRUE(retries.WaitToRetry(kFault, {}, {}).ok());
  const absl::Status last = retries.WaitToRetry(kFault, {}, {});
  EXPECT_THAT(MessageOf(last), HasSubstr("after 8 attempts: no answer"));
  EXPECT_EQ(ErrorOf(last), Error::kIo);
  const auto waits = waiter.waits();
  ASSERT_EQ(waits.size(), 7u);
  for (size_t i = 0; i < waits.size(); ++i) {
    const milliseconds full = std::min(milliseconds(100 << i), milliseconds(2000));
    EXPECT_GE(waits[i], full / 2);
    EXPECT_LE(waits[i], full);
  }
}

// A network that is away for minutes does not end a download.
TEST(RetriesTest, PatienceIsTimeWithoutProgress) {
  NoWaiter waiter;
  Retries retries(kPatientRules, waiter);
  absl::Status last;
  const auto start = waiter.Now();
  while ((last = retries.WaitToRetry(kFault, {}, {})).ok()) {
  }
  EXPECT_EQ(ErrorOf(last), Error::kIo);
  const auto lasted = waiter.Now() - start;
  EXPECT_GE(lasted, kPatientRules.patience);
  EXPECT_LE(lasted, kPatientRules.patience + seconds(60));
  const size_t waits = waiter.waits().size();
  EXPECT_LE(waits, 80u);
  EXPECT_GE(waiter.waits().back(), seconds(15));  // half of the longest wait, at least
  // After progress it begins anew.
  retries.Progressed();
  EXPECT_TRUE(retries.WaitToRetry(kFault, {}, {}).ok());
  EXPECT_LT(waiter.waits().back(), seconds(1));
}

TEST(RetriesTest, APersonIsAnsweredSoon) {
  NoWaiter waiter;
  Retries retries({}, waiter);
  const auto start = waiter.Now();
  while (retries.WaitToRetry(kFault, {}, {}).ok()) {
  }
  EXPECT_LE(waiter.Now() - start, seconds(10));
}

TEST(RetriesTest, ProgressCountsAfresh) {
  NoWaiter waiter;
  Retries retries({.attempts = 2}, waiter);
  for (int i = 0; i < 20; ++i) {
    EXPECT_TRUE(retries.WaitToRetry(kFault, {}, {}).ok());
    retries.Progressed();
  }
}

TEST(RetriesTest, WaitsAsLongAsTheServerAsks) {
  NoWaiter waiter;
  Retries retries({.attempts = 9, .longest_retry_after = seconds(60)}, waiter);
  const auto asking = [](const std::string& text) {
    return HttpResponse{.status = 429, .headers = {{"retry-after", text}}};
  };
  EXPECT_TRUE(retries.WaitToRetry(kFault, asking("42"), {}).ok());
  EXPECT_EQ(waiter.waits().back(), seconds(42));
  EXPECT_TRUE(retries.WaitToRetry(kFault, asking("Wed, 21 Oct 2015 07:28:00 GMT"), {}).ok());
  EXPECT_LT(waiter.waits().back(), seconds(42));
  HttpResponse dated = asking("Wed, 21 Oct 2015 07:28:00 GMT");
  dated.headers["date"] = "Wed, 21 Oct 2015 07:27:10 GMT";
  EXPECT_TRUE(retries.WaitToRetry(kFault, dated, {}).ok());
  EXPECT_EQ(waiter.waits().back(), seconds(50));
  EXPECT_TRUE(retries.WaitToRetry(kFault, asking("nonsense"), {}).ok());
  EXPECT_THAT(MessageOf(retries.WaitToRetry(kFault, asking("3600"), {})),
              HasSubstr("the server asks to wait for 3600 seconds"));
}

TEST(RetriesTest, WaitsForNewRequestsOfTheHub) {
  NoWaiter waiter;
  Retries retries(kPatientRules, waiter);
  const auto waited = [&](int status, const std::string& limit, const std::string& after = "") {
    HttpResponse response{.status = status, .headers = {{"ratelimit", limit}}};
    if (!after.empty()) response.headers["retry-after"] = after;
    retries.Progressed();
    EXPECT_TRUE(retries.WaitToRetry(kFault, response, {}).ok()) << limit;
    return waiter.waits().back();
  };
  EXPECT_EQ(waited(429, R"("resolvers";r=0;t=55)"), seconds(56));
  EXPECT_EQ(waited(429, R"("api";r=0;t=300)"), seconds(301));
  EXPECT_EQ(waited(429, R"("api";r=3;t=7, "resolvers"; r=0; t=9)"), seconds(10));
  EXPECT_EQ(waited(429, R"("api";r=0;t=5)", "20"), seconds(20));
  for (const std::string limit : {"", "t", "t=", "t=x", R"("part=9")"}) {
    EXPECT_LT(waited(429, limit), seconds(1)) << limit;
  }
  EXPECT_LT(waited(503, R"("api";r=400;t=250)"), seconds(1));
  const HttpResponse later{.status = 429, .headers = {{"ratelimit", R"("api";r=0;t=3000)"}}};
  EXPECT_THAT(MessageOf(retries.WaitToRetry(kFault, later, {})),
              HasSubstr("the server asks to wait for 3001 seconds"));
}

// Once for all connections that wait at the same time, and not at all for what is hardly felt.
TEST(TellingWaiterTest, TellsOfLongWaits) {
  NoWaiter time;
  std::vector<std::string> told;
  TellingWaiter waiter(time, [&](std::string_view text) { told.emplace_back(text); });
  waiter.Announce(seconds(4), "short");
  waiter.Announce(seconds(8), "one");
  waiter.Announce(seconds(8), "another connection");
  EXPECT_TRUE(waiter.Wait(seconds(9), {}));
  waiter.Announce(seconds(5), "later");
  EXPECT_THAT(told, ::testing::ElementsAre("one", "later"));
}

TEST(TellingWaiterTest, SaysWhatIsWaitedFor) {
  NoWaiter time;
  std::vector<std::string> told;
  TellingWaiter waiter(time, [&](std::string_view text) { told.emplace_back(text); });
  Retries asked(kPatientRules, waiter);
  EXPECT_TRUE(
      asked.WaitToRetry(kFault, {.status = 429, .headers = {{"retry-after", "8"}}}, {}).ok());
  Retries unasked({.first_wait = seconds(20)}, waiter);
  EXPECT_TRUE(unasked.WaitToRetry(kFault, {}, {}).ok());
  ASSERT_EQ(told.size(), 2u);
  EXPECT_EQ(told[0], "The Hub asks to wait 8 s (429)");
  EXPECT_THAT(told[1], ::testing::MatchesRegex("Trying again in [12][0-9] s: no answer"));
}

TEST(RetriesTest, AStopEndsTheRealWait) {
  std::stop_source stop;
  stop.request_stop();
  RealWaiter waiter;
  EXPECT_FALSE(waiter.Wait(std::chrono::hours(1), stop.get_token()));
  EXPECT_TRUE(waiter.Wait(milliseconds(1), {}));
}

}  // namespace
}  // namespace quantized
