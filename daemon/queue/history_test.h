// What must hold for the durable events of every job, whatever happened to daemon, store and
// workers: the model that fault tests and simulations hold the queue to.
#pragma once

#include <vector>

#include "daemon/queue/job_state.h"
#include "gtest/gtest.h"
#include "quantized/v1/job.pb.h"

namespace quantized::testing {

inline bool AnyoneMayMove(v1::Job::State from, v1::Job::State to) {
  for (const Transition& row : AllTransitions()) {
    if (row.from == from && row.to == to) return true;
  }
  return false;
}

// `events`: all durable ones of a job, from the first. `job`: as the queue tells it at the same
// time.
inline void CheckHistory(const std::vector<v1::JobEvent>& events, const v1::Job& job) {
  v1::Job::State state = v1::Job::STATE_UNSPECIFIED;
  int attempt = 0;
  bool finished = false;
  for (size_t i = 0; i < events.size(); ++i) {
    const v1::JobEvent& event = events[i];
    SCOPED_TRACE(event.ShortDebugString());
    ASSERT_EQ(event.sequence(), static_cast<int64_t>(i) + 1);
    ASSERT_FALSE(event.ephemeral());
    ASSERT_FALSE(finished) << "something came after Finished";
    ASSERT_GE(event.attempt(), attempt);
    if (event.has_state()) {
      ASSERT_EQ(event.state().from(), state);
      ASSERT_TRUE(AnyoneMayMove(state, event.state().to()));
      state = event.state().to();
      // Each start is an attempt, and nothing else is.
      ASSERT_EQ(event.attempt(), attempt + (state == v1::Job::STARTING ? 1 : 0));
    }
    attempt = event.attempt();
    if (event.has_finished()) {
      finished = true;
      ASSERT_TRUE(IsEnded(state));
      ASSERT_EQ(event.finished().state(), state);
      ASSERT_EQ(event.finished().has_result(), state == v1::Job::SUCCEEDED);
      ASSERT_EQ(event.finished().has_error(), state != v1::Job::SUCCEEDED);
    }
  }
  EXPECT_EQ(finished, IsEnded(state));
  EXPECT_EQ(job.state(), state);
  EXPECT_EQ(job.attempt(), attempt);
  EXPECT_EQ(job.last_sequence(), static_cast<int64_t>(events.size()));
  EXPECT_EQ(job.has_end_time(), IsEnded(state));
  EXPECT_EQ(job.has_result(), state == v1::Job::SUCCEEDED);
}

}  // namespace quantized::testing
