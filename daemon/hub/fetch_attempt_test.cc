#include "daemon/hub/fetch_attempt.h"

#include <filesystem>
#include <fstream>

#include "daemon/hub/hub_test.h"
#include "tests/support/recording_sink.h"

namespace quantized {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class FetchAttemptTest : public HubTest {
 protected:
  FetchAttemptTest() : model_(Model("me/model")) { server_.Add(model_); }

  v1::StartAttempt Start(const std::string& token = "") {
    v1::StartAttempt start;
    v1::QuantizeSpec& spec = *start.mutable_spec()->mutable_quantize();
    spec.set_model_name("me/model@main");
    v1::HubModel& hub = *spec.mutable_hub();
    hub.set_repository("me/model");
    hub.set_revision("main");
    hub.set_commit(model_.Commit());
    hub.set_endpoint(server_.endpoint());
    hub.set_cache_dir(cache());
    hub.set_shared_cache_dir(shared_cache());
    hub.set_has_token(true);
    start.set_hub_token(token);
    return start;
  }

  testing::HubRepository model_;
  testing::RecordingSink sink_;
};

TEST_F(FetchAttemptTest, FetchesAndTells) {
  const JobOutcome outcome = RunFetch(Start(), {}, sink_);
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  ExpectWhole(outcome.result.fetch().model_path(), model_);
  EXPECT_THAT(sink_.messages, ElementsAre("Downloading model: me/model@main"));
  testing::RecordingSink again;
  EXPECT_EQ(RunFetch(Start(), {}, again).result.fetch().model_path(),
            outcome.result.fetch().model_path());
  EXPECT_THAT(again.messages, IsEmpty());
}

TEST_F(FetchAttemptTest, NothingIsFetchedForAnOutputThatCannotBeMade) {
  v1::StartAttempt start = Start();
  const std::filesystem::path file = folder_.path() / "file";
  std::ofstream(file) << "x";
  start.mutable_spec()->mutable_quantize()->add_outputs()->set_path(file / "below/m.gguf");
  const JobOutcome outcome = RunFetch(start, {}, sink_);
  EXPECT_EQ(ErrorOf(outcome.status), Error::kIo);
  EXPECT_THAT(MessageOf(outcome.status), HasSubstr("cannot write into " + file.string()));
  EXPECT_THAT(server_.requests(), IsEmpty());
}

TEST_F(FetchAttemptTest, ATokenThatWasLostIsToldSo) {
  model_.gated = true;
  server_.Add(model_);
  server_.Accept("hf_good");
  const JobOutcome without = RunFetch(Start(), {}, sink_);
  EXPECT_EQ(ErrorOf(without.status), Error::kAuthenticationRequired);
  EXPECT_THAT(MessageOf(without.status), HasSubstr("no longer has your token"));
  EXPECT_THAT(SuggestionOf(without.status), HasSubstr("same command again"));
  const JobOutcome wrong = RunFetch(Start("hf_bad"), {}, sink_);
  EXPECT_THAT(MessageOf(wrong.status), HasSubstr("refuses the token"));
  EXPECT_TRUE(RunFetch(Start("hf_good"), {}, sink_).status.ok());
}

TEST_F(FetchAttemptTest, ATokenThatComesBackIsNotTold) {
  server_.Override([](const testing::HubRequest&) {
    return "HTTP/1.1 400 Bad Request\r\nX-Error-Message: you are hf_good\r\n"
           "Content-Length: 0\r\n\r\n";
  });
  const JobOutcome outcome = RunFetch(Start("hf_good"), {}, sink_);
  EXPECT_EQ(ErrorOf(outcome.status), Error::kIo);
  EXPECT_THAT(MessageOf(outcome.status), HasSubstr("you are [token]"));
}

TEST_F(FetchAttemptTest, WhatCameWithTheJobIsChecked) {
  for (const std::string token : {"hf_a\r\nHost: evil", "hf a"}) {
    const JobOutcome outcome = RunFetch(Start(token), {}, sink_);
    EXPECT_EQ(ErrorOf(outcome.status), Error::kInvalidArgument) << outcome.status;
  }
  v1::StartAttempt start = Start();
  start.mutable_spec()->mutable_quantize()->mutable_hub()->set_endpoint("file:///etc");
  EXPECT_EQ(ErrorOf(RunFetch(start, {}, sink_).status), Error::kInvalidArgument);
  start = Start();
  start.mutable_spec()->mutable_quantize()->mutable_hub()->set_repository("../evil");
  EXPECT_EQ(ErrorOf(RunFetch(start, {}, sink_).status), Error::kModelNotFound);
  EXPECT_TRUE(server_.requests().empty());
}

TEST_F(FetchAttemptTest, AStopIsCancelled) {
  std::stop_source stop;
  stop.request_stop();
  EXPECT_EQ(ErrorOf(RunFetch(Start(), stop.get_token(), sink_).status), Error::kCancelled);
}

}  // namespace
}  // namespace quantized
