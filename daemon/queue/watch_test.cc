#include "daemon/queue/watch.h"

#include "core/base/error.h"
#include "daemon/queue/history_test.h"
#include "daemon/queue/queue_test.h"

namespace quantized {
namespace {

using testing::NoopRequest;
using testing::QuantizeRequest;

class WatchTest : public testing::QueueTest {
 protected:
  static v1::WorkerFrame Line(const std::string& line) {
    v1::WorkerFrame frame;
    frame.mutable_message()->set_line(line);
    return frame;
  }
  static std::vector<v1::JobEvent> Durable(const std::vector<v1::JobEvent>& events) {
    std::vector<v1::JobEvent> durable;
    for (const v1::JobEvent& event : events) {
      if (!event.ephemeral()) durable.push_back(event);
    }
    return durable;
  }
};

TEST_F(WatchTest, TellsWhatWasThenASnapshotThenWhatHappensAndFinishedLast) {
  Start();
  const std::string id = Submit(QuantizeRequest()).value().id();
  auto run = executor_.NextRun();
  run->Hello();
  Reached(id, v1::Job::RUNNING);
  const auto watch = queue_->Watch(id, 0);
  for (const v1::Job::State state : {v1::Job::PENDING, v1::Job::STARTING, v1::Job::RUNNING}) {
    EXPECT_EQ((*Next(*watch))->state().to(), state);
  }
  const SharedEvent snapshot = *Next(*watch);
  EXPECT_TRUE(snapshot->ephemeral());
  EXPECT_EQ(snapshot->sequence(), 3);
  EXPECT_EQ(snapshot->snapshot().job().state(), v1::Job::RUNNING);

  run->Say(Line("Loading model: ./model"));
  const SharedEvent line = *Next(*watch);
  EXPECT_EQ(line->message().line(), "Loading model: ./model");
  EXPECT_EQ(line->sequence(), 4);
  EXPECT_EQ(line->attempt(), 1);
  run->Succeed();
  const std::vector<v1::JobEvent> rest = Drain(*watch);
  ASSERT_EQ(rest.size(), 2u);
  EXPECT_EQ(rest[0].state().to(), v1::Job::SUCCEEDED);
  EXPECT_TRUE(rest[1].finished().has_result());
  EXPECT_EQ(*Next(*watch), nullptr);
}

TEST_F(WatchTest, ResumesAfterAnySequence) {
  Start();
  const std::string id = Submit(NoopRequest()).value().id();
  auto run = executor_.NextRun();
  run->Hello();
  for (int i = 0; i < 5; ++i) run->Say(Line("line"));
  run->Succeed();
  const std::vector<v1::JobEvent> all = Drain(*queue_->Watch(id, 0));
  ASSERT_EQ(all.size(), 10u);  // three states, five lines, the end, Finished
  testing::CheckHistory(all, Get(id).value());
  for (size_t after = 0; after < all.size(); ++after) {
    const std::vector<v1::JobEvent> rest = Drain(*queue_->Watch(id, static_cast<int64_t>(after)));
    ASSERT_EQ(rest.size(), all.size() - after);
    EXPECT_EQ(rest.front().SerializeAsString(), all[after].SerializeAsString());
  }
  // Who has seen all, or claims more than there is, hears the end again.
  for (const int64_t after : {10, 1000}) {
    const std::vector<v1::JobEvent> rest = Drain(*queue_->Watch(id, after));
    ASSERT_EQ(rest.size(), 1u);
    EXPECT_TRUE(rest[0].has_finished());
  }
}

TEST_F(WatchTest, ASlowWatcherMissesNothingAndHoldsUpNobody) {
  constexpr int kLines = 3 * JobWatch::kMaxWaiting;
  Start();
  const std::string id = Submit(NoopRequest()).value().id();
  auto run = executor_.NextRun();
  run->Hello();
  Reached(id, v1::Job::RUNNING);
  const auto slow = queue_->Watch(id, 3);
  EXPECT_TRUE((*Next(*slow))->has_snapshot());
  for (int i = 0; i < kLines; ++i) run->Say(Line(std::to_string(i)));
  run->Succeed();
  const std::vector<v1::JobEvent> quick = Drain(*queue_->Watch(id, 0));
  testing::CheckHistory(Durable(quick), Get(id).value());
  const std::vector<v1::JobEvent> late = Durable(Drain(*slow));
  ASSERT_EQ(late.size(), kLines + 2u);
  for (int i = 0; i < kLines; ++i) {
    EXPECT_EQ(late[i].sequence(), i + 4);
    EXPECT_EQ(late[i].message().line(), std::to_string(i));
  }
}

TEST_F(WatchTest, ConflatesProgress) {
  Start();
  const std::string id = Submit(NoopRequest()).value().id();
  auto run = executor_.NextRun();
  run->Hello();
  Reached(id, v1::Job::RUNNING);
  const auto watch = queue_->Watch(id, 3);
  EXPECT_TRUE((*Next(*watch))->has_snapshot());
  for (int i = 1; i <= 1000; ++i) run->SayProgress(i, 1000);
  // The queue has seen the last one once it has answered this.
  run->Say(Line("after"));
  while (Get(id).value().last_sequence() < 4) continue;
  EXPECT_EQ((*Next(*watch))->message().line(), "after");
  const SharedEvent progress = *Next(*watch);
  EXPECT_TRUE(progress->ephemeral());
  EXPECT_EQ(progress->sequence(), 4);
  EXPECT_EQ(progress->progress().done(), 1000u);
  EXPECT_GT(progress->progress().elapsed_seconds(), 0);
  EXPECT_EQ(Get(id).value().progress().done(), 1000u);
}

TEST_F(WatchTest, SaysNowAndThenThatItIsAlive) {
  JobQueue::Options options = Options();
  options.keep_alive = std::chrono::milliseconds(1);
  Start(std::move(options));
  Submit(NoopRequest()).value();
  const std::string id = Submit(NoopRequest()).value().id();
  const auto watch = queue_->Watch(id, 1);
  EXPECT_TRUE((*Next(*watch))->has_snapshot());
  for (int i = 0; i < 3; ++i) {
    const SharedEvent event = *Next(*watch);
    EXPECT_TRUE(event->has_keep_alive());
    EXPECT_TRUE(event->ephemeral());
    EXPECT_EQ(event->sequence(), 1);
  }
}

TEST_F(WatchTest, EndsWithTheDaemonOrWhenItsWatcherLeaves) {
  Start();
  const std::string id = Submit(NoopRequest()).value().id();
  const auto left = queue_->Watch(id, 0);
  left->Close(MakeError(Error::kCancelled, "the watcher went away"));
  EXPECT_EQ(ErrorOf(Next(*left).status()), Error::kCancelled);

  const auto watch = queue_->Watch(id, 0);
  ASSERT_TRUE(Next(*watch).ok());
  queue_->Stop();
  absl::StatusOr<SharedEvent> event = Next(*watch);
  while (event.ok()) event = Next(*watch);
  EXPECT_EQ(ErrorOf(event.status()), Error::kDaemonUnavailable);
}

}  // namespace
}  // namespace quantized
