// How fast the queue takes jobs and gets rid of them. Prints, for jobs that do nothing:
//
//   submit  durable submits per second over gRPC with 16 clients x 4 in flight, p50 and p99 of the
//           reply, while nothing else runs
//   drain   jobs per second from a full queue to its end, with workers played in this process
//   workers the same with a quantize-worker process for every job
//
//   submit_bench [JOBS [WORKER_JOBS [DIR]]]    10,000 and 200 jobs; DIR decides which disk is
//   measured
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <vector>

#include "core/base/check.h"
#include "core/base/ids.h"
#include "core/base/mutex.h"
#include "daemon/executors/local_process.h"
#include "daemon/queue/job_queue.h"
#include "daemon/service/daemon_server.h"
#include "tests/support/fake_executor.h"
#include "tests/support/paths.h"

namespace quantized {
namespace {

using std::chrono::steady_clock;

constexpr int kClients = 16;
constexpr int kInFlight = 4;
constexpr int kSlots = 8;

double SecondsSince(steady_clock::time_point start) {
  return std::chrono::duration<double>(steady_clock::now() - start).count();
}

v1::SubmitJobRequest NoopRequest() {
  v1::SubmitJobRequest request;
  request.set_request_id(NewUuid());
  request.mutable_spec()->mutable_noop();
  return request;
}

// A daemon in this process.
class Daemon {
 public:
  Daemon(const std::filesystem::path& dir, int slots, Executor& executor)
      : lifetime_(std::nullopt), socket_(dir / "run" / "s") {
    std::filesystem::create_directories(dir / "state");
    auto queue = JobQueue::Start({.store = {.path = dir / "state" / "quantized.db"},
                                  .logs_dir = dir / "state" / "logs",
                                  .slots = slots,
                                  .on_idle = [this] { idle_.set_value(); }},
                                 executor);
    CHECK(queue.ok());
    queue_ = *std::move(queue);
    auto server = DaemonServer::Start({.socket = socket_}, *queue_, lifetime_);
    CHECK(server.ok());
    server_ = *std::move(server);
  }
  ~Daemon() {
    queue_->Stop();
    server_.reset();
  }
  std::string target() const { return "unix:" + socket_.string(); }
  void AwaitIdle() { idle_.get_future().wait(); }

 private:
  Lifetime lifetime_;
  const std::filesystem::path socket_;
  std::promise<void> idle_;
  std::unique_ptr<JobQueue> queue_;
  std::unique_ptr<DaemonServer> server_;
};

// Submits `jobs` jobs, kClients connections with kInFlight calls each; how long each reply took.
class Submitters {
 public:
  Submitters(const std::string& target, int jobs) : left_(jobs), open_(jobs) {
    for (int i = 0; i < kClients; ++i) {
      grpc::ChannelArguments arguments;  // a connection of its own for each
      arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
      stubs_.push_back(v1::Jobs::NewStub(
          grpc::CreateCustomChannel(target, grpc::InsecureChannelCredentials(), arguments)));
    }
    for (int i = 0; i < kClients * kInFlight; ++i) Next(*stubs_[i % kClients]);
  }
  // Seconds per reply, sorted.
  std::vector<double> Wait() {
    MutexLock lock(mutex_);
    while (open_ > 0) changed_.Wait(mutex_);
    std::sort(seconds_.begin(), seconds_.end());
    return seconds_;
  }

 private:
  struct Call {
    grpc::ClientContext context;
    v1::SubmitJobRequest request = NoopRequest();
    v1::Job job;
    steady_clock::time_point start = steady_clock::now();
  };

  void Next(v1::Jobs::Stub& stub) {
    {
      MutexLock lock(mutex_);
      if (left_ == 0) return;
      --left_;
    }
    auto call = std::make_shared<Call>();  // lives until its reply
    stub.async()->SubmitJob(&call->context, &call->request, &call->job,
                            [this, call, &stub](grpc::Status status) {
                              CHECK(status.ok());
                              const double seconds = SecondsSince(call->start);
                              Next(stub);
                              MutexLock lock(mutex_);
                              seconds_.push_back(seconds);
                              if (--open_ == 0) changed_.NotifyAll();
                            });
  }

  std::vector<std::unique_ptr<v1::Jobs::Stub>> stubs_;
  Mutex mutex_;
  CondVar changed_;
  int left_ ABSL_GUARDED_BY(mutex_);
  int open_ ABSL_GUARDED_BY(mutex_);
  std::vector<double> seconds_ ABSL_GUARDED_BY(mutex_);
};

void MeasureSubmit(const std::filesystem::path& dir, int jobs) {
  testing::FakeExecutor executor;  // the first job never ends, the others wait behind it
  Daemon daemon(dir, /*slots=*/1, executor);
  const steady_clock::time_point start = steady_clock::now();
  const std::vector<double> replies = Submitters(daemon.target(), jobs).Wait();
  const double seconds = SecondsSince(start);
  std::printf("submit   %6d jobs %8.0f jobs/s   p50 %6.2f ms   p99 %6.2f ms\n", jobs,
              jobs / seconds, 1e3 * replies[replies.size() / 2],
              1e3 * replies[replies.size() * 99 / 100]);
}

// Fills the queue while its only job waits, then lets go.
void MeasureDrain(const char* name, const std::filesystem::path& dir, int jobs, int slots,
                  Executor& executor, const std::function<void()>& let_go) {
  Daemon daemon(dir, slots, executor);
  Submitters(daemon.target(), jobs).Wait();
  const steady_clock::time_point start = steady_clock::now();
  let_go();
  daemon.AwaitIdle();
  const double seconds = SecondsSince(start);
  std::printf("%-8s %6d jobs %8.0f jobs/s   %d slots\n", name, jobs, jobs / seconds, slots);
}

void MeasureFakeWorkers(const std::filesystem::path& dir, int jobs) {
  std::promise<void> gate;
  testing::FakeExecutor executor([opened = gate.get_future().share()](testing::FakeRun& run) {
    opened.wait();
    run.Hello();
    run.Succeed();
  });
  MeasureDrain("drain", dir, jobs, kSlots, executor, [&] { gate.set_value(); });
}

void MeasureRealWorkers(const std::filesystem::path& dir, int jobs) {
  auto executor = CreateLocalExecutor({.worker_binary = testing::BinDir() / "quantize-worker"});
  CHECK(executor.ok());
  Daemon daemon(dir, kSlots, **executor);
  const steady_clock::time_point start = steady_clock::now();
  Submitters(daemon.target(), jobs).Wait();
  daemon.AwaitIdle();
  std::printf("workers  %6d jobs %8.0f jobs/s   %d slots\n", jobs, jobs / SecondsSince(start),
              kSlots);
}

}  // namespace
}  // namespace quantized

int main(int argc, char** argv) {
  const int jobs = argc > 1 ? std::atoi(argv[1]) : 10'000;
  const int worker_jobs = argc > 2 ? std::atoi(argv[2]) : 200;
  if (jobs < 1 || worker_jobs < 1) {
    std::fprintf(stderr, "usage: submit_bench [JOBS [WORKER_JOBS [DIR]]]\n");
    return 2;
  }
  if (argc > 3) setenv("TMPDIR", argv[3], 1);
  const quantized::testing::TempDir dir;
  quantized::MeasureSubmit(dir.path() / "submit", jobs);
  quantized::MeasureFakeWorkers(dir.path() / "drain", jobs);
  quantized::MeasureRealWorkers(dir.path() / "workers", worker_jobs);
  return 0;
}
