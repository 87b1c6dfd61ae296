#include "daemon/service/lifetime.h"

#include <atomic>
#include <future>
#include <memory>
#include <optional>

#include "gtest/gtest.h"

namespace quantized {
namespace {

using std::chrono::milliseconds;

TEST(Lifetime, EndsUnusedWithoutJobsAndCalls) {
  Lifetime lifetime(milliseconds(0));
  EXPECT_EQ(lifetime.WaitForEnd([] { return 0; }), Lifetime::End::kUnused);
}

TEST(Lifetime, JobsAndCallsKeepItAlive) {
  Lifetime lifetime(milliseconds(1));
  auto call = std::make_unique<Lifetime::Call>(lifetime);
  std::atomic<int64_t> jobs{1};
  std::atomic<int> looks{0};
  auto end = std::async(std::launch::async, [&] {
    return lifetime.WaitForEnd([&] {
      ++looks;
      return jobs.load();
    });
  });
  while (looks < 10) continue;  // it has looked again and again, and stayed
  jobs = 0;
  while (looks < 20) continue;
  EXPECT_EQ(end.wait_for(milliseconds(0)), std::future_status::timeout);
  call.reset();
  EXPECT_EQ(end.get(), Lifetime::End::kUnused);
}

TEST(Lifetime, IsNeverUnusedWhenNobodyAskedForThat) {
  Lifetime lifetime(std::nullopt);
  auto end = std::async(std::launch::async, [&] { return lifetime.WaitForEnd([] { return 0; }); });
  lifetime.Stop();
  EXPECT_EQ(end.get(), Lifetime::End::kAsked);
}

}  // namespace
}  // namespace quantized
