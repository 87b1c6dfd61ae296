// The session against a daemon that fails in the ways that daemons do.
#include "client/rpc/job_session.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>

#include <vector>

#include "client/rpc/fake_daemon.h"
#include "core/base/error.h"
#include "tests/support/paths.h"

namespace quantized {
namespace {

using std::chrono::milliseconds;
using ::testing::ElementsAre;
using testing::FakeDaemon;
using ::testing::HasSubstr;

v1::JobEvent MessageEvent(const std::string& line) {
  v1::JobEvent event;
  event.mutable_message()->set_line(line);
  return event;
}

v1::JobEvent FinishedEvent() {
  v1::JobEvent event;
  event.mutable_finished()->set_state(v1::Job::SUCCEEDED);
  event.mutable_finished()->mutable_result()->mutable_quantize()->add_outputs()->set_output_path(
      "/out.gguf");
  return event;
}

class JobSessionTest : public ::testing::Test {
 protected:
  SessionOptions Options(std::variant<NewJob, ExistingJob> job = NewJob{}) {
    SessionOptions options;
    options.connection.host = "unix:" + Socket();
    options.connection.retry = {.first_pause = milliseconds(1), .longest_pause = milliseconds(20)};
    if (NewJob* submit = std::get_if<NewJob>(&job)) submit->request.set_request_id("id");
    options.job = std::move(job);
    return options;
  }
  std::string Socket() const { return dir_.path() / "d.sock"; }

  // The next update that is not a trace.
  static SessionUpdate Next(JobSession& session) {
    while (true) {
      pollfd waiting{session.wake_fd(), POLLIN, 0};
      poll(&waiting, 1, 50);
      session.CheckSilence();
      while (auto update = session.Take()) {
        if (!std::holds_alternative<session::Trace>(*update)) return *std::move(update);
      }
    }
  }

  struct Story {
    std::vector<std::string> lines;
    int lost = 0, reconnected = 0, finished = 0;
    absl::Status status;
  };
  // Takes updates to the end; calls `on_line` after each message.
  static Story Listen(JobSession& session,
                      const std::function<void(const std::string&)>& on_line = {}) {
    Story story;
    while (true) {
      const SessionUpdate update = Next(session);
      if (const auto* event = std::get_if<session::Event>(&update)) {
        if (event->event.has_message()) story.lines.push_back(event->event.message().line());
        story.finished += event->event.has_finished();
        if (event->event.has_message() && on_line) on_line(story.lines.back());
      }
      story.lost += std::holds_alternative<session::ConnectionLost>(update);
      story.reconnected += std::holds_alternative<session::Reconnected>(update);
      if (const auto* ended = std::get_if<session::Ended>(&update)) {
        story.status = ended->status;
        return story;
      }
    }
  }

  testing::TempDir dir_;
};

TEST_F(JobSessionTest, TellsEachEventOnceAndEnds) {
  FakeDaemon daemon(Socket());
  daemon.Say(MessageEvent("one"));
  daemon.Say(MessageEvent("two"));
  daemon.Say(FinishedEvent());
  JobSession session(Options());
  const SessionUpdate first = Next(session);
  ASSERT_TRUE(std::holds_alternative<session::JobKnown>(first));
  EXPECT_EQ(std::get<session::JobKnown>(first).job.id(), daemon.job().id());
  const Story story = Listen(session);
  EXPECT_THAT(story.lines, ElementsAre("one", "two"));
  EXPECT_EQ(story.finished, 1);
  EXPECT_TRUE(story.status.ok()) << story.status;
}

TEST_F(JobSessionTest, ABrokenStreamGoesOnWhereItWas) {
  FakeDaemon daemon(Socket());
  daemon.Say(MessageEvent("one"));
  JobSession session(Options());
  const Story story = Listen(session, [&](const std::string& line) {
    if (line != "one") return;
    daemon.BreakStreams();
    daemon.Say(MessageEvent("two"));
    daemon.Say(FinishedEvent());
  });
  EXPECT_THAT(story.lines, ElementsAre("one", "two"));
  EXPECT_EQ(story.lost, 1);
  EXPECT_EQ(story.reconnected, 1);
  EXPECT_EQ(story.finished, 1);
  EXPECT_THAT(daemon.watched_after(), ElementsAre(0, 1));
}

TEST_F(JobSessionTest, ADaemonThatRestartsIsFoundAgain) {
  FakeDaemon daemon(Socket());
  daemon.Say(MessageEvent("one"));
  JobSession session(Options());
  const Story story = Listen(session, [&](const std::string& line) {
    if (line != "one") return;
    daemon.Stop();
    daemon.Say(MessageEvent("two"));
    daemon.Say(FinishedEvent());
    daemon.Start();
  });
  EXPECT_THAT(story.lines, ElementsAre("one", "two"));
  EXPECT_EQ(story.lost, 1);
  EXPECT_TRUE(story.status.ok()) << story.status;
}

TEST_F(JobSessionTest, ADaemonThatRestartsGetsTheTokenAgain) {
  FakeDaemon daemon(Socket());
  daemon.Say(MessageEvent("one"));
  SessionOptions options = Options();
  std::get<NewJob>(options.job).request.set_hub_token("hf_secret");
  JobSession session(std::move(options));
  const Story story = Listen(session, [&](const std::string& line) {
    if (line != "one") return;
    daemon.Stop();
    daemon.Say(FinishedEvent());
    daemon.Start();
  });
  EXPECT_TRUE(story.status.ok()) << story.status;
  EXPECT_THAT(daemon.request_ids(), ElementsAre("id", "id"));
}

TEST_F(JobSessionTest, ASilentStreamIsGivenUp) {
  FakeDaemon daemon(Socket());
  daemon.Say(MessageEvent("one"));
  SessionOptions options = Options();
  options.silence_limit = milliseconds(100);
  JobSession session(std::move(options));
  bool fell_silent = false;
  Story story;
  while (true) {
    const SessionUpdate update = Next(session);
    if (const auto* event = std::get_if<session::Event>(&update)) {
      if (event->event.has_message() && !std::exchange(fell_silent, true)) daemon.SetSilent(true);
    }
    if (std::holds_alternative<session::ConnectionLost>(update)) {
      ++story.lost;
      daemon.Say(FinishedEvent());
      daemon.SetSilent(false);
    }
    if (const auto* ended = std::get_if<session::Ended>(&update)) {
      story.status = ended->status;
      break;
    }
  }
  EXPECT_EQ(story.lost, 1);
  EXPECT_TRUE(story.status.ok()) << story.status;
}

TEST_F(JobSessionTest, ASubmitIsRepeatedWithTheSameRequestId) {
  FakeDaemon daemon(Socket());
  daemon.FailNext(2, grpc::StatusCode::UNAVAILABLE);
  daemon.Say(FinishedEvent());
  JobSession session(Options());
  EXPECT_TRUE(Listen(session).status.ok());
  EXPECT_THAT(daemon.request_ids(), ElementsAre("id"));
}

TEST_F(JobSessionTest, ARefusedSubmitCarriesTheDaemonsError) {
  FakeDaemon daemon(Socket());
  v1::ErrorDetail detail;
  detail.set_error(static_cast<int>(Error::kInvalidArgument));
  detail.set_message("unknown level 'Q9'");
  detail.set_suggestion("try Q4_K_M");
  daemon.RefuseSubmit(detail);
  JobSession session(Options());
  const absl::Status status = Listen(session).status;
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(ErrorOf(status), Error::kInvalidArgument);
  EXPECT_EQ(status.message(), "unknown level 'Q9'");
  EXPECT_EQ(SuggestionOf(status), "try Q4_K_M");
}

TEST_F(JobSessionTest, CancelReachesTheDaemonOnce) {
  FakeDaemon daemon(Socket());
  JobSession session(Options());
  session.Cancel();
  session.Cancel();
  const Story story = Listen(session);
  EXPECT_EQ(daemon.cancels(), 1);
  EXPECT_EQ(story.finished, 1);
}

TEST_F(JobSessionTest, WithoutWatchingItEndsWithTheJob) {
  FakeDaemon daemon(Socket());
  JobSession session(Options(NewJob{.request = {}, .watch = false}));
  EXPECT_TRUE(Listen(session).status.ok());
  EXPECT_TRUE(daemon.watched_after().empty());
  EXPECT_FALSE(daemon.job().id().empty());
}

TEST_F(JobSessionTest, WithoutAJobThereIsNothingToComeBackTo) {
  FakeDaemon daemon(Socket());
  JobSession session(Options(ExistingJob{}));
  const absl::Status status = Listen(session).status;
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(ErrorOf(status), Error::kJobNotFound);
}

TEST_F(JobSessionTest, ADaemonThatStaysAwayIsGivenUp) {
  FakeDaemon daemon(Socket());
  daemon.Say(MessageEvent("one"));
  SessionOptions options = Options();
  options.give_up_after = milliseconds(100);
  JobSession session(std::move(options));
  const Story story = Listen(session, [&](const std::string&) { daemon.Stop(); });
  ASSERT_FALSE(story.status.ok());
  EXPECT_EQ(ErrorOf(story.status), Error::kDaemonUnavailable);
  EXPECT_THAT(SuggestionOf(story.status), HasSubstr("jobs attach"));
}

TEST_F(JobSessionTest, EndingTheSessionLeavesTheJobAlone) {
  FakeDaemon daemon(Socket());
  {
    JobSession session(Options());
    Next(session);
    daemon.AwaitWatchers(1);
  }
  daemon.AwaitWatchers(0);
  EXPECT_EQ(daemon.cancels(), 0);
}

}  // namespace
}  // namespace quantized
