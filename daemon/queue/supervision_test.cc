#include "daemon/queue/supervision.h"

#include <signal.h>

#include "core/base/error.h"
#include "daemon/worker/error_detail.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace quantized {
namespace {

using ::testing::HasSubstr;

AttemptEnd WithResult() {
  AttemptEnd end;
  end.result = std::make_unique<v1::JobResult>();
  end.result->mutable_noop();
  return end;
}

AttemptEnd WithError(Error error) {
  AttemptEnd end;
  end.error = std::make_unique<v1::AttemptError>();
  *end.error->mutable_error() = ErrorDetailOf(MakeError(error, "words"));
  return end;
}

AttemptEnd WithSignal(int signal) {
  AttemptEnd end;
  end.signal = signal;
  end.log_tail = "last words";
  return end;
}

TEST(JudgeAttempt, AResultCountsWhateverElseHappened) {
  for (const StopCause cause : {StopCause::kNone, StopCause::kCancel, StopCause::kShutdown}) {
    const Verdict verdict = JudgeAttempt(WithResult(), cause, v1::PUBLISH, 0);
    EXPECT_EQ(verdict.to, v1::Job::SUCCEEDED);
    EXPECT_TRUE(verdict.result.has_noop());
  }
}

TEST(JudgeAttempt, TheWorkersErrorIsTheJobs) {
  const Verdict verdict =
      JudgeAttempt(WithError(Error::kOutOfMemory), StopCause::kNone, v1::PROBE, 0);
  EXPECT_EQ(verdict.to, v1::Job::FAILED);
  EXPECT_EQ(verdict.error.exit_code(), 5);
  EXPECT_EQ(verdict.error.message(), "words");
}

TEST(JudgeAttempt, AWorkerThatSomebodyElseStoppedCancelsItsJob) {
  const Verdict verdict =
      JudgeAttempt(WithError(Error::kCancelled), StopCause::kNone, v1::QUANTIZE, 0);
  EXPECT_EQ(verdict.to, v1::Job::CANCELLED);
  EXPECT_EQ(verdict.error.exit_code(), 9);
}

TEST(JudgeAttempt, CancelledHoweverItEnded) {
  const Verdict verdict = JudgeAttempt(WithSignal(SIGKILL), StopCause::kCancel, v1::QUANTIZE, 5);
  EXPECT_EQ(verdict.to, v1::Job::CANCELLED);
  EXPECT_EQ(verdict.error.exit_code(), 9);
}

TEST(JudgeAttempt, WhatIsFinishedAllTheSameStaysKnown) {
  AttemptEnd end = WithError(Error::kCancelled);
  end.error->mutable_finished()->mutable_quantize()->add_outputs()->set_level("Q8_0");
  for (const StopCause cause : {StopCause::kNone, StopCause::kCancel}) {
    const Verdict verdict = JudgeAttempt(end, cause, v1::QUANTIZE, 0);
    EXPECT_EQ(verdict.to, v1::Job::CANCELLED);
    EXPECT_EQ(verdict.finished.quantize().outputs(0).level(), "Q8_0");
  }
  EXPECT_EQ(
      JudgeAttempt(WithSignal(SIGKILL), StopCause::kCancel, v1::QUANTIZE, 0).finished.kind_case(),
      v1::JobResult::KIND_NOT_SET);
}

TEST(JudgeAttempt, AStoppingDaemonKeepsTheJob) {
  for (const AttemptEnd& end : {WithSignal(SIGKILL), WithError(Error::kCancelled)}) {
    const Verdict verdict = JudgeAttempt(end, StopCause::kShutdown, v1::QUANTIZE, 5);
    EXPECT_EQ(verdict.to, v1::Job::PENDING);
    EXPECT_EQ(verdict.reason, "DAEMON_STOPPED");
    EXPECT_FALSE(verdict.crashed);
  }
}

TEST(JudgeAttempt, ACrashIsTriedOnceMoreThenTold) {
  const Verdict first = JudgeAttempt(WithSignal(SIGSEGV), StopCause::kNone, v1::QUANTIZE, 0);
  EXPECT_EQ(first.to, v1::Job::PENDING);
  EXPECT_EQ(first.reason, "RETRY_AFTER_CRASH");
  EXPECT_TRUE(first.crashed);
  const Verdict second = JudgeAttempt(WithSignal(SIGSEGV), StopCause::kNone, v1::QUANTIZE, 1);
  EXPECT_EQ(second.to, v1::Job::FAILED);
  EXPECT_EQ(second.error.error(), static_cast<int>(Error::kWorkerCrashed));
  EXPECT_EQ(second.error.message(), "the worker was killed by SIGSEGV in phase quantize");
  EXPECT_EQ(second.error.log_tail(), "last words");
}

TEST(JudgeAttempt, TellsHowTheWorkerWentAway) {
  AttemptEnd silent = WithSignal(SIGKILL);
  silent.unresponsive = true;
  EXPECT_THAT(JudgeAttempt(silent, StopCause::kNone, v1::LOAD, 1).error.message(),
              HasSubstr("stopped responding"));
  AttemptEnd mute;
  mute.exit_code = 3;
  EXPECT_THAT(JudgeAttempt(mute, StopCause::kNone, v1::PHASE_UNSPECIFIED, 1).error.message(),
              HasSubstr("ended with exit code 3 without a result before its first phase"));
  EXPECT_THAT(JudgeAttempt(WithSignal(SIGKILL), StopCause::kNone, v1::LOAD, 1).error.suggestion(),
              HasSubstr("ran out of memory"));
}

}  // namespace
}  // namespace quantized
