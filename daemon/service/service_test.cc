// The services as a client meets them: over a unix socket, with a fake executor behind the queue.
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <fstream>
#include <future>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/version.h"
#include "daemon/queue/history_test.h"
#include "daemon/queue/queue_test.h"
#include "daemon/service/daemon_server.h"
#include "daemon/service/rpc_status.h"

namespace quantized {
namespace {

using testing::NoopRequest;
using testing::QuantizeRequest;

class ServiceTest : public testing::QueueTest {
 protected:
  ServiceTest() : lifetime_(std::nullopt) {
    JobQueue::Options options = Options();
    options.on_idle = [this] { lifetime_.JobsChanged(); };
    Start(std::move(options));
    v1::ServerInfo info;
    info.set_version(std::string(kVersion));
    info.set_api_version(kApiVersion);
    auto server = DaemonServer::Start(
        {.socket = Socket(), .listen = "127.0.0.1:0", .info = std::move(info)}, *queue_, lifetime_);
    EXPECT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    channel_ = grpc::CreateChannel("unix:" + Socket().string(), grpc::InsecureChannelCredentials());
    jobs_ = v1::Jobs::NewStub(channel_);
    control_ = v1::Server::NewStub(channel_);
  }
  ~ServiceTest() override {
    queue_->Stop();
    server_.reset();
  }

  std::filesystem::path Socket() const { return dir_.path() / "socket" / "quantized.sock"; }

  // The detail of a failed call.
  static v1::ErrorDetail DetailOf(const grpc::ClientContext& context) {
    v1::ErrorDetail detail;
    const auto& trailers = context.GetServerTrailingMetadata();
    const auto found = trailers.find(kErrorTrailer);
    EXPECT_NE(found, trailers.end()) << "no detail";
    if (found == trailers.end()) return detail;
    EXPECT_TRUE(
        detail.ParseFromArray(found->second.data(), static_cast<int>(found->second.size())));
    return detail;
  }
  v1::Job SubmitOverRpc(const v1::SubmitJobRequest& request) {
    grpc::ClientContext context;
    v1::Job job;
    const grpc::Status status = jobs_->SubmitJob(&context, request, &job);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return job;
  }
  std::unique_ptr<grpc::ClientReader<v1::JobEvent>> WatchOverRpc(grpc::ClientContext& context,
                                                                 const std::string& id,
                                                                 int64_t after) {
    v1::WatchJobRequest request;
    request.set_id(id);
    request.set_after_sequence(after);
    return jobs_->WatchJob(&context, request);
  }
  // grpc.health.v1.Health/Check, whose proto is not packaged: HealthCheckRequest{1: service},
  // HealthCheckResponse{1: status}; 1 is SERVING, 2 NOT_SERVING.
  int Health(const std::string& service) {
    grpc::GenericStub stub(channel_);
    std::string bytes = "\x0A";
    bytes += static_cast<char>(service.size());
    bytes += service;
    const grpc::Slice slice(bytes);
    const grpc::ByteBuffer request(&slice, 1);
    grpc::ByteBuffer response;
    grpc::ClientContext context;
    std::promise<grpc::Status> done;
    stub.UnaryCall(&context, "/grpc.health.v1.Health/Check", grpc::StubOptions(), &request,
                   &response, [&](grpc::Status status) { done.set_value(status); });
    const grpc::Status status = done.get_future().get();
    EXPECT_TRUE(status.ok()) << status.error_message();
    grpc::Slice answer;
    EXPECT_TRUE(response.DumpToSingleSlice(&answer).ok());
    return answer.size() == 2 ? answer.begin()[1] : -1;
  }

  Lifetime lifetime_;
  std::unique_ptr<DaemonServer> server_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::Jobs::Stub> jobs_;
  std::unique_ptr<v1::Server::Stub> control_;
};

TEST_F(ServiceTest, SubmitsGetsListsAndCancels) {
  const v1::Job job = SubmitOverRpc(QuantizeRequest());
  EXPECT_EQ(job.state(), v1::Job::PENDING);
  executor_.NextRun()->Hello();
  {
    grpc::ClientContext context;
    v1::GetJobRequest request;
    request.set_id(job.id());
    v1::Job found;
    ASSERT_TRUE(jobs_->GetJob(&context, request, &found).ok());
    EXPECT_EQ(found.spec().SerializeAsString(), QuantizeRequest().spec().SerializeAsString());
  }
  {
    grpc::ClientContext context;
    v1::ListJobsResponse page;
    ASSERT_TRUE(jobs_->ListJobs(&context, {}, &page).ok());
    ASSERT_EQ(page.jobs_size(), 1);
    EXPECT_EQ(page.jobs(0).id(), job.id());
  }
  {
    grpc::ClientContext context;
    v1::CancelJobRequest request;
    request.set_id(job.id());
    v1::Job cancelled;
    ASSERT_TRUE(jobs_->CancelJob(&context, request, &cancelled).ok());
  }
  EXPECT_EQ(Ended(job.id()).state(), v1::Job::CANCELLED);
}

TEST_F(ServiceTest, FailedCallsCarryTheErrorsRow) {
  {
    grpc::ClientContext context;
    v1::GetJobRequest request;
    request.set_id("none");
    v1::Job job;
    const grpc::Status status = jobs_->GetJob(&context, request, &job);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
    const v1::ErrorDetail detail = DetailOf(context);
    EXPECT_EQ(detail.error(), static_cast<int>(Error::kJobNotFound));
    EXPECT_EQ(detail.exit_code(), 3);
    EXPECT_EQ(detail.error_type(), "JobNotFoundError");
    EXPECT_EQ(detail.message(), status.error_message());
  }
  {
    grpc::ClientContext context;
    v1::SubmitJobRequest request = QuantizeRequest();
    request.mutable_spec()->mutable_quantize()->set_format("awq");  // without a calibration
    v1::Job job;
    EXPECT_EQ(jobs_->SubmitJob(&context, request, &job).error_code(),
              grpc::StatusCode::INVALID_ARGUMENT);
    const v1::ErrorDetail detail = DetailOf(context);
    EXPECT_EQ(detail.exit_code(), 2);
    EXPECT_EQ(detail.message(), "calibration.samples: found 0, needed 1 to 1048576");
  }
  {
    grpc::ClientContext context;
    v1::JobEvent event;
    auto reader = WatchOverRpc(context, "none", 0);
    EXPECT_FALSE(reader->Read(&event));
    EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::NOT_FOUND);
    EXPECT_EQ(DetailOf(context).error(), static_cast<int>(Error::kJobNotFound));
  }
}

TEST_F(ServiceTest, TakesACalibratedJobAndHandsItOnWhole) {
  v1::SubmitJobRequest request = QuantizeRequest();
  v1::QuantizeSpec& spec = *request.mutable_spec()->mutable_quantize();
  spec.set_format("gptq");
  spec.mutable_outputs(0)->set_level("4bit");
  spec.mutable_calibration()->set_data_path("/data.json");
  spec.mutable_calibration()->set_samples(64);
  spec.mutable_calibration()->set_sequence_length(512);
  spec.mutable_packed()->set_group_size(-1);
  spec.mutable_packed()->set_damping(0.05);
  const v1::Job job = SubmitOverRpc(request);
  auto run = executor_.NextRun();
  run->Hello();
  EXPECT_EQ(run->start().spec().SerializeAsString(), request.spec().SerializeAsString());
  run->Succeed();
  EXPECT_EQ(Ended(job.id()).state(), v1::Job::SUCCEEDED);
}

TEST_F(ServiceTest, WatchesAJobToItsEnd) {
  const std::string id = SubmitOverRpc(NoopRequest()).id();
  grpc::ClientContext context;
  auto reader = WatchOverRpc(context, id, 0);
  auto run = executor_.NextRun();
  run->Hello();
  run->SayProgress(1, 2);
  run->Succeed();
  std::vector<v1::JobEvent> durable;
  v1::JobEvent event;
  bool snapshot = false;
  while (reader->Read(&event)) {
    snapshot = snapshot || event.has_snapshot();
    if (!event.ephemeral()) durable.push_back(event);
  }
  EXPECT_TRUE(reader->Finish().ok());
  EXPECT_TRUE(snapshot || durable.size() == 5u);
  testing::CheckHistory(durable, Get(id).value());

  grpc::ClientContext again;
  reader = WatchOverRpc(again, id, durable.size() - 2);
  ASSERT_TRUE(reader->Read(&event));
  EXPECT_EQ(event.SerializeAsString(), durable[durable.size() - 2].SerializeAsString());
  ASSERT_TRUE(reader->Read(&event));
  EXPECT_TRUE(event.has_finished());
  EXPECT_FALSE(reader->Read(&event));
  EXPECT_TRUE(reader->Finish().ok());
}

TEST_F(ServiceTest, AWatcherThatLeavesEndsNothing) {
  const std::string id = SubmitOverRpc(NoopRequest()).id();
  auto run = executor_.NextRun();
  for (int i = 0; i < 20; ++i) {
    grpc::ClientContext context;
    auto reader = WatchOverRpc(context, id, 0);
    v1::JobEvent event;
    EXPECT_TRUE(reader->Read(&event));
    context.TryCancel();
    while (reader->Read(&event)) continue;
    EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::CANCELLED);
  }
  run->Hello();
  run->Succeed();
  EXPECT_EQ(Ended(id).state(), v1::Job::SUCCEEDED);
}

TEST_F(ServiceTest, ManyWatchersSeeTheSameDurableEvents) {
  constexpr int kWatchers = 50;
  const std::string id = SubmitOverRpc(NoopRequest()).id();
  std::vector<std::future<std::string>> watchers;
  for (int i = 0; i < kWatchers; ++i) {
    watchers.push_back(std::async(std::launch::async, [&] {
      grpc::ClientContext context;
      auto reader = WatchOverRpc(context, id, 0);
      std::string seen;
      v1::JobEvent event;
      while (reader->Read(&event)) {
        if (!event.ephemeral()) seen += event.SerializeAsString();
      }
      EXPECT_TRUE(reader->Finish().ok());
      return seen;
    }));
  }
  auto run = executor_.NextRun();
  run->Hello();
  for (int i = 1; i <= 200; ++i) {
    run->SayProgress(i, 200);
    run->SayCheckpoint(i);
  }
  run->Succeed();
  const std::string first = watchers[0].get();
  EXPECT_FALSE(first.empty());
  for (int i = 1; i < kWatchers; ++i) EXPECT_EQ(watchers[i].get(), first);
}

TEST_F(ServiceTest, AStoppingDaemonEndsStreamsAndRefusesCalls) {
  const std::string id = SubmitOverRpc(NoopRequest()).id();
  executor_.NextRun()->Hello();
  grpc::ClientContext context;
  auto reader = WatchOverRpc(context, id, 0);
  v1::JobEvent event;
  ASSERT_TRUE(reader->Read(&event));
  server_->SetNotServing();
  EXPECT_EQ(Health("quantized.v1.Jobs"), 2);
  queue_->Stop();
  while (reader->Read(&event)) continue;
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
  grpc::ClientContext late;
  v1::Job job;
  EXPECT_EQ(jobs_->SubmitJob(&late, NoopRequest(), &job).error_code(),
            grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(DetailOf(late).error(), static_cast<int>(Error::kDaemonUnavailable));
}

TEST_F(ServiceTest, ReadsAndFollowsLogs) {
  const std::string id = SubmitOverRpc(NoopRequest()).id();
  auto run = executor_.NextRun();
  std::ofstream log(run->log_path());
  log << "first\n" << std::flush;
  grpc::ClientContext context;
  v1::ReadLogRequest request;
  request.set_id(id);
  request.set_follow(true);
  auto reader = jobs_->ReadLog(&context, request);
  v1::LogChunk chunk;
  ASSERT_TRUE(reader->Read(&chunk));
  EXPECT_EQ(chunk.data(), "first\n");
  log << "second\n" << std::flush;
  ASSERT_TRUE(reader->Read(&chunk));
  EXPECT_EQ(chunk.offset(), 6u);
  EXPECT_EQ(chunk.data(), "second\n");
  run->Hello();
  run->Succeed();
  EXPECT_FALSE(reader->Read(&chunk));
  EXPECT_TRUE(reader->Finish().ok());

  grpc::ClientContext missing;
  request.set_attempt(7);
  reader = jobs_->ReadLog(&missing, request);
  EXPECT_FALSE(reader->Read(&chunk));
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST_F(ServiceTest, TellsAboutItself) {
  SubmitOverRpc(NoopRequest());
  SubmitOverRpc(NoopRequest());
  executor_.NextRun();
  grpc::ClientContext context;
  v1::ServerInfo info;
  ASSERT_TRUE(control_->GetServerInfo(&context, {}, &info).ok());
  EXPECT_EQ(info.version(), kVersion);
  EXPECT_EQ(info.api_version(), kApiVersion);
  EXPECT_EQ(info.slots(), 1);
  EXPECT_EQ(info.jobs_running(), 1);
  EXPECT_EQ(info.jobs_pending(), 1);
  EXPECT_EQ(Health(""), 1);
  EXPECT_EQ(Health("quantized.v1.Jobs"), 1);
  EXPECT_EQ(Health("quantized.v1.Server"), 1);
}

TEST_F(ServiceTest, ShutdownWhenIdleWaitsForTheLastJob) {
  const std::string id = SubmitOverRpc(NoopRequest()).id();
  auto run = executor_.NextRun();
  grpc::ClientContext context;
  v1::ShutdownRequest request;
  request.set_when_idle(true);
  v1::ShutdownResponse response;
  ASSERT_TRUE(control_->Shutdown(&context, request, &response).ok());
  EXPECT_EQ(response.jobs_left(), 1);
  auto end = std::async(std::launch::async,
                        [&] { return lifetime_.WaitForEnd([&] { return queue_->live_jobs(); }); });
  run->Hello();
  run->Succeed();
  EXPECT_EQ(end.get(), Lifetime::End::kAskedWhenIdle);
  EXPECT_EQ(Get(id).value().state(), v1::Job::SUCCEEDED);
}

TEST_F(ServiceTest, ShutdownNow) {
  SubmitOverRpc(NoopRequest());
  grpc::ClientContext context;
  v1::ShutdownResponse response;
  ASSERT_TRUE(control_->Shutdown(&context, {}, &response).ok());
  EXPECT_EQ(lifetime_.WaitForEnd([&] { return queue_->live_jobs(); }), Lifetime::End::kAsked);
}

TEST_F(ServiceTest, ServesALoopbackPortToo) {
  ASSERT_GT(server_->port(), 0);
  auto stub = v1::Server::NewStub(grpc::CreateChannel(
      "127.0.0.1:" + std::to_string(server_->port()), grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  v1::ServerInfo info;
  EXPECT_TRUE(stub->GetServerInfo(&context, {}, &info).ok());
}

TEST_F(ServiceTest, RefusesAddressesOfOtherMachinesAndTakenSockets) {
  for (const char* listen : {"0.0.0.0:0", "192.168.0.1:80", "example.org:80", "127.0.0.1", ":80",
                             "127.0.0.1:99999", "127.0.0.1:x"}) {
    SCOPED_TRACE(listen);
    const auto server = DaemonServer::Start(
        {.socket = dir_.path() / "other" / "s", .listen = listen}, *queue_, lifetime_);
    ASSERT_FALSE(server.ok());
    EXPECT_EQ(ErrorOf(server.status()), Error::kInvalidArgument);
  }
  const auto second = DaemonServer::Start({.socket = Socket()}, *queue_, lifetime_);
  ASSERT_FALSE(second.ok());
  EXPECT_THAT(std::string(second.status().message()), ::testing::HasSubstr("in use by another"));
}

TEST_F(ServiceTest, RefusesRequestsOfUnreasonableSize) {
  grpc::ClientContext context;
  v1::GetJobRequest request;
  request.set_id(std::string(1 << 20, 'x'));
  v1::Job job;
  EXPECT_EQ(jobs_->GetJob(&context, request, &job).error_code(),
            grpc::StatusCode::RESOURCE_EXHAUSTED);
}

}  // namespace
}  // namespace quantized
