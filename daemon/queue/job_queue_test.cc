#include "daemon/queue/job_queue.h"

#include <signal.h>

#include "core/base/error.h"
#include "daemon/queue/history_test.h"
#include "daemon/queue/queue_test.h"

namespace quantized {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::NoopRequest;
using testing::QuantizeRequest;

class JobQueueTest : public testing::QueueTest {};

TEST_F(JobQueueTest, RunsAJobToItsResult) {
  Start();
  const v1::Job job = Submit(QuantizeRequest()).value();
  EXPECT_EQ(job.state(), v1::Job::PENDING);
  EXPECT_EQ(job.reason(), "QUEUED");
  EXPECT_EQ(job.queue_position(), 1);

  auto run = executor_.NextRun();
  EXPECT_EQ(run->start().job_id(), job.id());
  EXPECT_EQ(run->start().attempt(), 1);
  EXPECT_EQ(run->start().spec().quantize().outputs(0).path(), "/out/model.gguf");
  EXPECT_TRUE(run->start().previous_results().empty());
  run->Hello();
  run->SayCheckpoint(5);
  run->Succeed(/*peak_memory_bytes=*/123);

  const v1::Job ended = Ended(job.id());
  EXPECT_EQ(ended.state(), v1::Job::SUCCEEDED);
  EXPECT_EQ(ended.attempt(), 1);
  EXPECT_TRUE(ended.has_start_time() && ended.has_end_time());
  EXPECT_GT(ended.result().quantize().outputs(0).duration_seconds(), 0);
  EXPECT_EQ(ended.result().quantize().outputs(0).peak_memory_bytes(), 123u);
  EXPECT_EQ(ended.result().quantize().outputs(0).attempts(), 1);
}

TEST_F(JobQueueTest, TheNextJobOfAnOutputPathLearnsOfItsResult) {
  Start();
  const std::string first = Submit(QuantizeRequest({"/out/a.gguf"})).value().id();
  auto run = executor_.NextRun();
  run->Hello();
  run->Succeed();
  Ended(first);
  Submit(QuantizeRequest({"/out/a.gguf"})).value();
  const v1::StartAttempt start = executor_.NextRun()->start();
  ASSERT_EQ(start.previous_results_size(), 1);
  EXPECT_EQ(start.previous_results(0).output_path(), "/out/a.gguf");
}

TEST_F(JobQueueTest, EachOutputOfAJobGetsWhatTheJobTook) {
  Start();
  const std::string id = Submit(QuantizeRequest({"/out/a", "/out/b"})).value().id();
  auto run = executor_.NextRun();
  run->Hello();
  run->Succeed(/*peak_memory_bytes=*/123);
  const v1::QuantizeResults results = Ended(id).result().quantize();
  ASSERT_EQ(results.outputs_size(), 2);
  for (const v1::QuantizeResult& result : results.outputs()) {
    EXPECT_GT(result.duration_seconds(), 0);
    EXPECT_EQ(result.peak_memory_bytes(), 123u);
    EXPECT_EQ(result.attempts(), 1);
  }
}

TEST_F(JobQueueTest, WhatAFailedJobFinishedIsKnownToItsClientAndToTheNextJob) {
  Start();
  const std::string id = Submit(QuantizeRequest({"/out/a", "/out/b"})).value().id();
  auto run = executor_.NextRun();
  run->Hello();
  run->Fail(MakeError(Error::kDiskFull, "the disk is full"), /*finished=*/1);
  const std::vector<v1::JobEvent> events = Drain(*queue_->Watch(id, 0));
  testing::CheckHistory({events.begin(), events.end()}, Get(id).value());
  queue_.reset();
  Start();
  const v1::Job job = Get(id).value();
  EXPECT_EQ(job.state(), v1::Job::FAILED);
  EXPECT_EQ(job.error().message(), "the disk is full");
  ASSERT_EQ(job.finished().quantize().outputs_size(), 1);
  EXPECT_EQ(job.finished().quantize().outputs(0).output_path(), "/out/a");
  EXPECT_EQ(job.finished().quantize().outputs(0).attempts(), 1);
  EXPECT_EQ(events.back().finished().finished().SerializeAsString(),
            job.finished().SerializeAsString());

  Submit(QuantizeRequest({"/out/b", "/out/a"})).value();
  const v1::StartAttempt start = executor_.NextRun()->start();
  ASSERT_EQ(start.previous_results_size(), 1);
  EXPECT_EQ(start.previous_results(0).output_path(), "/out/a");
}

TEST_F(JobQueueTest, ACancelledJobTellsWhatItFinished) {
  testing::FakeExecutor executor(nullptr, [](testing::FakeRun& run) {
    run.Fail(MakeError(Error::kCancelled, "the job was cancelled"), /*finished=*/1);
  });
  queue_ = JobQueue::Start(Options(), executor).value();
  const std::string id = Submit(QuantizeRequest({"/out/a", "/out/b"})).value().id();
  executor.NextRun()->Hello();
  ASSERT_TRUE(Cancel(id).ok());
  const v1::Job job = Ended(id);
  EXPECT_EQ(job.reason(), "CANCELLED_BY_OWNER");
  EXPECT_EQ(job.finished().quantize().outputs(0).output_path(), "/out/a");
  queue_.reset();
}

TEST_F(JobQueueTest, ARepeatedSubmitIsTheSameJob) {
  Start();
  v1::SubmitJobRequest request = QuantizeRequest();
  const v1::Job first = Submit(request).value();
  EXPECT_EQ(Submit(request).value().id(), first.id());
  request.mutable_spec()->mutable_quantize()->set_overwrite(true);
  const auto other = Submit(request);
  ASSERT_FALSE(other.ok());
  EXPECT_EQ(ErrorOf(other.status()), Error::kInvalidArgument);
  EXPECT_THAT(std::string(other.status().message()), HasSubstr(first.id()));
}

TEST_F(JobQueueTest, StartsInOrderAndAsManyAsThereAreSlots) {
  JobQueue::Options options = Options();
  options.slots = 2;
  Start(std::move(options));
  std::vector<std::string> ids;
  for (int i = 0; i < 4; ++i) ids.push_back(Submit(NoopRequest()).value().id());
  auto first = executor_.NextRun();
  auto second = executor_.NextRun();
  EXPECT_THAT((std::vector{first->start().job_id(), second->start().job_id()}),
              ElementsAre(ids[0], ids[1]));
  EXPECT_EQ(Get(ids[2]).value().queue_position(), 1);
  EXPECT_EQ(Get(ids[3]).value().queue_position(), 2);
  EXPECT_EQ(queue_->counts().active, 2);
  EXPECT_EQ(queue_->counts().pending, 2);
  second->Hello();
  second->Succeed();
  EXPECT_EQ(executor_.NextRun()->start().job_id(), ids[2]);
}

TEST_F(JobQueueTest, TwoJobsNeverWriteOneFile) {
  JobQueue::Options options = Options();
  options.slots = 3;
  Start(std::move(options));
  Submit(QuantizeRequest({"/out/a.gguf"})).value();
  const std::string twin = Submit(QuantizeRequest({"/out/a.gguf"})).value().id();
  const std::string other = Submit(QuantizeRequest({"/out/b.gguf"})).value().id();
  // One path in common is enough.
  const std::string half = Submit(QuantizeRequest({"/out/c.gguf", "/out/b.gguf"})).value().id();
  auto first = executor_.NextRun();
  EXPECT_EQ(executor_.NextRun()->start().job_id(), other);
  EXPECT_EQ(Get(twin).value().state(), v1::Job::PENDING);
  EXPECT_EQ(Get(half).value().state(), v1::Job::PENDING);
  first->Hello();
  first->Succeed();
  EXPECT_EQ(executor_.NextRun()->start().job_id(), twin);
}

TEST_F(JobQueueTest, ACrashIsTriedOnceMore) {
  Start();
  const std::string id = Submit(NoopRequest()).value().id();
  for (int attempt = 1; attempt <= 2; ++attempt) {
    auto run = executor_.NextRun();
    EXPECT_EQ(run->start().attempt(), attempt);
    run->Hello();
    run->Crash(SIGSEGV);
  }
  const v1::Job job = Ended(id);
  EXPECT_EQ(job.state(), v1::Job::FAILED);
  EXPECT_EQ(job.error().error(), static_cast<int>(Error::kWorkerCrashed));
  EXPECT_EQ(job.error().log_tail(), "last words");
  EXPECT_EQ(executor_.started(), 2);
}

TEST_F(JobQueueTest, CrashesThatFinishedUnitsInBetweenDoNotAddUp) {
  Start();
  const std::string id = Submit(QuantizeRequest()).value().id();
  for (int attempt = 1; attempt <= 20; ++attempt) {
    auto run = executor_.NextRun();
    run->Hello();
    run->SayCheckpoint(attempt);
    run->Crash(SIGKILL);
  }
  auto run = executor_.NextRun();
  run->Hello();
  run->Succeed();
  const v1::Job job = Ended(id);
  EXPECT_EQ(job.state(), v1::Job::SUCCEEDED);
  EXPECT_EQ(job.result().quantize().outputs(0).attempts(), 21);
}

TEST_F(JobQueueTest, AJobThatCannotBeStartedFails) {
  Start();
  executor_.FailStarts(MakeError(Error::kInternal, "no process could be made"));
  const v1::Job job = Ended(Submit(NoopRequest()).value().id());
  EXPECT_EQ(job.state(), v1::Job::FAILED);
  EXPECT_EQ(job.error().message(), "no process could be made");
}

TEST_F(JobQueueTest, CancelsAWaitingJobAtOnce) {
  Start();
  Submit(NoopRequest()).value();
  const std::string waiting = Submit(NoopRequest()).value().id();
  const v1::Job job = Cancel(waiting).value();
  EXPECT_EQ(job.state(), v1::Job::CANCELLED);
  EXPECT_EQ(job.error().exit_code(), 9);
  EXPECT_EQ(Cancel(waiting).value().SerializeAsString(), job.SerializeAsString());
}

TEST_F(JobQueueTest, CancelsARunningJobByStoppingItsWorker) {
  Start();
  const std::string id = Submit(NoopRequest()).value().id();
  auto run = executor_.NextRun();
  run->Hello();
  EXPECT_EQ(Cancel(id).value().state(), v1::Job::CANCELLING);
  const v1::Job job = Ended(id);
  EXPECT_TRUE(run->stopped());
  EXPECT_EQ(job.state(), v1::Job::CANCELLED);
  EXPECT_EQ(job.reason(), "CANCELLED_BY_OWNER");
}

TEST_F(JobQueueTest, ACancelBeforeHelloStillCancels) {
  Start();
  const std::string id = Submit(NoopRequest()).value().id();
  auto run = executor_.NextRun();
  EXPECT_EQ(Cancel(id).value().state(), v1::Job::CANCELLING);
  run->Hello();
  EXPECT_EQ(Ended(id).state(), v1::Job::CANCELLED);
}

TEST_F(JobQueueTest, UnknownJobs) {
  Start();
  for (const auto& reply : {Get("01ARZ3NDEKTSV4RRFFQ69G5FAV"), Cancel("")}) {
    ASSERT_FALSE(reply.ok());
    EXPECT_EQ(ErrorOf(reply.status()), Error::kJobNotFound);
  }
  const auto event = Next(*queue_->Watch("nothing", 0));
  ASSERT_FALSE(event.ok());
  EXPECT_EQ(ErrorOf(event.status()), Error::kJobNotFound);
}

TEST_F(JobQueueTest, ListsByPages) {
  Start();
  std::vector<std::string> ids;
  for (int i = 0; i < 5; ++i) ids.push_back(Submit(NoopRequest()).value().id());
  v1::ListJobsRequest request;
  request.set_page_size(2);
  std::vector<std::string> seen;
  do {
    const v1::ListJobsResponse page = List(request).value();
    EXPECT_LE(page.jobs_size(), 2);
    for (const v1::Job& job : page.jobs()) seen.push_back(job.id());
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  EXPECT_THAT(seen, ElementsAre(ids[4], ids[3], ids[2], ids[1], ids[0]));
}

TEST_F(JobQueueTest, RefusesBadListings) {
  Start();
  v1::ListJobsRequest negative, foreign, garbage;
  negative.set_page_size(-1);
  foreign.set_page_token("5.16");
  garbage.set_page_token("x");
  for (const auto& request : {negative, foreign, garbage}) {
    const auto page = List(request);
    ASSERT_FALSE(page.ok());
    EXPECT_EQ(ErrorOf(page.status()), Error::kInvalidArgument);
  }
}

TEST_F(JobQueueTest, FindsLogs) {
  Start();
  const std::string id = Submit(NoopRequest()).value().id();
  auto run = executor_.NextRun();
  const auto find = [&](int attempt) {
    return testing::Await<JobQueue::AttemptLog>(
        [&](auto reply) { queue_->FindLog(id, attempt, reply); });
  };
  const auto log = find(0);
  ASSERT_TRUE(log.ok());
  EXPECT_EQ(log->path, run->log_path());
  EXPECT_FALSE(*log->ended);
  run->Hello();
  run->Succeed();
  Ended(id);
  EXPECT_TRUE(*log->ended);
  EXPECT_TRUE(*find(1)->ended);
  EXPECT_EQ(ErrorOf(find(2).status()), Error::kJobNotFound);
}

TEST_F(JobQueueTest, SaysWhenTheLastJobHasEnded) {
  std::promise<void> idle;
  JobQueue::Options options = Options();
  options.on_idle = [&] { idle.set_value(); };
  Start(std::move(options));
  const std::string id = Submit(NoopRequest()).value().id();
  EXPECT_EQ(queue_->live_jobs(), 1);
  auto run = executor_.NextRun();
  run->Hello();
  run->Succeed();
  idle.get_future().wait();
  EXPECT_EQ(queue_->live_jobs(), 0);
}

}  // namespace
}  // namespace quantized
