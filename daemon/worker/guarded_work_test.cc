#include "daemon/worker/guarded_work.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <new>
#include <stdexcept>
#include <string>

#include "core/base/error.h"
#include "core/base/no_progress.h"

namespace quantized {
namespace {

JobOutcome Guarded(AttemptWork work) {
  NoProgress progress;
  return RunGuarded(work, {}, {}, progress);
}

TEST(GuardedWorkTest, AnOutcomeIsPassedOn) {
  EXPECT_TRUE(Guarded([](const v1::StartAttempt&, std::stop_token, ProgressSink&) {
                JobOutcome outcome;
                outcome.result.mutable_noop();
                return outcome;
              }).result.has_noop());
}

TEST(GuardedWorkTest, AnExceptionIsAnError) {
  const JobOutcome thrown =
      Guarded([](const v1::StartAttempt&, std::stop_token, ProgressSink&) -> JobOutcome {
        throw std::invalid_argument("type must be string, but is null");
      });
  EXPECT_EQ(ErrorOf(thrown.status), Error::kInternal);
  EXPECT_THAT(std::string(thrown.status.message()),
              ::testing::HasSubstr("type must be string, but is null"));
  const JobOutcome full = Guarded([](const v1::StartAttempt&, std::stop_token,
                                     ProgressSink&) -> JobOutcome { throw std::bad_alloc(); });
  EXPECT_EQ(ErrorOf(full.status), Error::kOutOfMemory);
}

}  // namespace
}  // namespace quantized
