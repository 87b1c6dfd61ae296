// A daemon for tests: the real services over a real socket, with answers that the test sets and
// failures that it orders. Thread-safe.
#pragma once

#include <grpcpp/server.h>

#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/base/mutex.h"
#include "quantized/v1/service.grpc.pb.h"

namespace quantized::testing {

class FakeDaemon final : v1::Jobs::Service, v1::Server::Service {
 public:
  // Listens on the unix socket `path` until Stop.
  explicit FakeDaemon(std::string path);
  ~FakeDaemon() override;

  // Stop ends all streams, as a daemon that dies does; Start listens again. What it knows stays.
  void Stop();
  void Start();

  // What GetServerInfo answers; of this client's version at first.
  void SetInfo(const v1::ServerInfo& info);
  // The next `count` calls of any kind but streams fail with `code`, without a detail.
  void FailNext(int count, grpc::StatusCode code);
  // The next submit fails with `detail` as the daemon sends it.
  void RefuseSubmit(const v1::ErrorDetail& detail);

  // Appends a durable event (numbered here) or an ephemeral one and tells the watchers.
  void Say(v1::JobEvent event);
  // Breaks the streams that are open; new ones are served.
  void BreakStreams();
  // Whether a cancelled job ends at once; else it goes on as if its worker did not listen.
  void SetCancelEnds(bool ends);
  // Holds back all events, so that streams fall silent; false ends that.
  void SetSilent(bool silent);

  v1::Job job() const;
  std::vector<int64_t> watched_after() const;  // after_sequence of each WatchJob
  std::vector<std::string> request_ids() const;
  int cancels() const { return cancels_; }
  // Whether somebody called Shutdown.
  bool shutdown_asked() const { return shutdown_asked_; }
  void AwaitShutdown();
  void AwaitWatchers(int count);
  void AwaitCancel();

 private:
  grpc::Status SubmitJob(grpc::ServerContext* context, const v1::SubmitJobRequest* request,
                         v1::Job* job) override;
  grpc::Status GetJob(grpc::ServerContext* context, const v1::GetJobRequest* request,
                      v1::Job* job) override;
  grpc::Status ListJobs(grpc::ServerContext* context, const v1::ListJobsRequest* request,
                        v1::ListJobsResponse* response) override;
  grpc::Status WatchJob(grpc::ServerContext* context, const v1::WatchJobRequest* request,
                        grpc::ServerWriter<v1::JobEvent>* writer) override;
  grpc::Status CancelJob(grpc::ServerContext* context, const v1::CancelJobRequest* request,
                         v1::Job* job) override;
  grpc::Status GetServerInfo(grpc::ServerContext* context, const v1::GetServerInfoRequest* request,
                             v1::ServerInfo* info) override;
  grpc::Status Shutdown(grpc::ServerContext* context, const v1::ShutdownRequest* request,
                        v1::ShutdownResponse* response) override;
  grpc::Status OrderedFailure();

  const std::string path_;
  std::unique_ptr<grpc::Server> server_;
  std::atomic<int> cancels_ = 0;
  std::atomic<bool> shutdown_asked_ = false;

  mutable Mutex mutex_;
  CondVar changed_;
  v1::ServerInfo info_ ABSL_GUARDED_BY(mutex_);
  v1::Job job_ ABSL_GUARDED_BY(mutex_);  // its id is empty before the first submit
  std::vector<v1::JobEvent> events_ ABSL_GUARDED_BY(mutex_);
  std::vector<int64_t> watched_after_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::string> request_ids_ ABSL_GUARDED_BY(mutex_);
  v1::ErrorDetail refusal_ ABSL_GUARDED_BY(mutex_);
  int failures_left_ ABSL_GUARDED_BY(mutex_) = 0;
  grpc::StatusCode failure_ ABSL_GUARDED_BY(mutex_) = grpc::StatusCode::OK;
  int generation_ ABSL_GUARDED_BY(mutex_) = 0;  // of streams; a change breaks them
  int watchers_ ABSL_GUARDED_BY(mutex_) = 0;
  bool silent_ ABSL_GUARDED_BY(mutex_) = false;
  bool cancel_ends_ ABSL_GUARDED_BY(mutex_) = true;
};

}  // namespace quantized::testing
