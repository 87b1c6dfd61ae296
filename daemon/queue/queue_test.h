// What the tests of the queue share: a queue over a fake executor in a folder of its own.
#pragma once

#include <future>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/base/ids.h"
#include "daemon/queue/job_queue.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/fake_executor.h"
#include "tests/support/paths.h"

namespace quantized::testing {

// Calls a function of the queue and waits for its reply.
template <typename T, typename Call>
absl::StatusOr<T> Await(const Call& call) {
  auto promise = std::make_shared<std::promise<absl::StatusOr<T>>>();
  call([promise](absl::StatusOr<T> reply) { promise->set_value(std::move(reply)); });
  return promise->get_future().get();
}

inline v1::SubmitJobRequest NoopRequest() {
  v1::SubmitJobRequest request;
  request.set_request_id(NewUuid());
  request.mutable_spec()->mutable_noop();
  return request;
}

// Of level Q4_K_M to the first path, Q8_0 to the second.
inline v1::SubmitJobRequest QuantizeRequest(const std::vector<std::string>& output_paths = {
                                                "/out/model.gguf"}) {
  v1::SubmitJobRequest request;
  request.set_request_id(NewUuid());
  v1::QuantizeSpec& spec = *request.mutable_spec()->mutable_quantize();
  spec.set_model_path("/models/model");
  spec.set_model_name("./model");
  spec.set_format("gguf");
  for (const std::string& path : output_paths) {
    v1::OutputSpec& output = *spec.add_outputs();
    output.set_level(spec.outputs_size() == 1 ? "Q4_K_M" : "Q8_0");
    output.set_path(path);
  }
  return request;
}

class QueueTest : public ::testing::Test {
 protected:
  JobQueue::Options Options() const {
    return {.store = {.path = dir_.path() / "quantized.db"}, .logs_dir = dir_.path() / "logs"};
  }
  void Start(JobQueue::Options options) {
    auto started = JobQueue::Start(std::move(options), executor_);
    ASSERT_TRUE(started.ok()) << started.status();
    queue_ = std::move(*started);
  }
  void Start() { Start(Options()); }

  absl::StatusOr<v1::Job> Submit(const v1::SubmitJobRequest& request) {
    return Await<v1::Job>([&](auto reply) { queue_->Submit(request, reply); });
  }
  absl::StatusOr<v1::Job> Get(const std::string& id) {
    return Await<v1::Job>([&](auto reply) { queue_->Get(id, reply); });
  }
  absl::StatusOr<v1::Job> Cancel(const std::string& id) {
    return Await<v1::Job>([&](auto reply) { queue_->Cancel(id, reply); });
  }
  absl::StatusOr<v1::ListJobsResponse> List(const v1::ListJobsRequest& request) {
    return Await<v1::ListJobsResponse>([&](auto reply) { queue_->List(request, reply); });
  }
  static absl::StatusOr<SharedEvent> Next(JobWatch& watch) {
    return Await<SharedEvent>([&](auto reply) { watch.Next(reply); });
  }
  // All events of a watch until its end.
  static std::vector<v1::JobEvent> Drain(JobWatch& watch) {
    std::vector<v1::JobEvent> events;
    while (true) {
      absl::StatusOr<SharedEvent> event = Next(watch);
      EXPECT_TRUE(event.ok()) << event.status();
      if (!event.ok() || *event == nullptr) return events;
      events.push_back(**event);
    }
  }
  // The job when it has ended.
  v1::Job Ended(const std::string& id) {
    Drain(*queue_->Watch(id, 0));
    return Get(id).value();
  }
  // The job when it has reached `state`.
  v1::Job Reached(const std::string& id, v1::Job::State state) {
    const std::shared_ptr<JobWatch> watch = queue_->Watch(id, 0);
    while (true) {
      absl::StatusOr<SharedEvent> event = Next(*watch);
      EXPECT_TRUE(event.ok() && *event != nullptr) << "the job never was " << state;
      if (!event.ok() || *event == nullptr) return {};
      if ((*event)->has_state() && (*event)->state().to() == state) return Get(id).value();
    }
  }

  TempDir dir_;
  FakeExecutor executor_;
  std::unique_ptr<JobQueue> queue_;
};

}  // namespace quantized::testing
