#include "daemon/queue/job_state.h"

#include <map>
#include <set>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace quantized {
namespace {

using J = v1::Job;

constexpr J::State kStates[] = {J::PENDING,   J::STARTING, J::RUNNING,  J::CANCELLING,
                                J::SUCCEEDED, J::FAILED,   J::CANCELLED};

TEST(JobState, EndedStatesHaveNoExit) {
  for (const Transition& row : AllTransitions()) EXPECT_FALSE(IsEnded(row.from));
}

TEST(JobState, EveryStateIsReachedAndEveryLiveOneCanEnd) {
  std::map<J::State, std::set<J::State>> next;
  for (const Transition& row : AllTransitions()) next[row.from].insert(row.to);
  std::set<J::State> reached = {J::STATE_UNSPECIFIED};
  for (size_t before = 0; before != reached.size();) {
    before = reached.size();
    for (const J::State state : std::set(reached))
      reached.insert(next[state].begin(), next[state].end());
  }
  for (const J::State state : kStates) {
    SCOPED_TRACE(J::State_Name(state));
    EXPECT_TRUE(reached.contains(state));
    EXPECT_EQ(next[state].empty(), IsEnded(state));
  }
}

TEST(JobState, OnlyWorkThatRanSucceeds) {
  for (const Transition& row : AllTransitions()) {
    if (row.to != J::SUCCEEDED) continue;
    EXPECT_EQ(row.by, MovedBy::kSupervisor);
    EXPECT_TRUE(row.from == J::RUNNING || row.from == J::CANCELLING);
  }
}

TEST(JobState, ActiveStatesLeadBackToTheQueueAfterRecovery) {
  for (const J::State state : {J::STARTING, J::RUNNING}) {
    EXPECT_TRUE(IsAllowed(state, J::PENDING, MovedBy::kRecovery));
    EXPECT_TRUE(IsAllowed(state, J::PENDING, MovedBy::kShutdown));
  }
  EXPECT_TRUE(IsAllowed(J::CANCELLING, J::CANCELLED, MovedBy::kRecovery));
  EXPECT_FALSE(IsAllowed(J::CANCELLING, J::PENDING, MovedBy::kRecovery));
}

TEST(JobState, RowsAreDistinctAndNothingElseIsAllowed) {
  std::set<std::tuple<J::State, J::State, MovedBy>> rows;
  for (const Transition& row : AllTransitions()) {
    EXPECT_TRUE(rows.insert({row.from, row.to, row.by}).second);
    EXPECT_TRUE(IsAllowed(row.from, row.to, row.by));
  }
  EXPECT_FALSE(IsAllowed(J::PENDING, J::SUCCEEDED, MovedBy::kSupervisor));
  EXPECT_FALSE(IsAllowed(J::PENDING, J::RUNNING, MovedBy::kWorker));
  EXPECT_FALSE(IsAllowed(J::RUNNING, J::STARTING, MovedBy::kScheduler));
}

}  // namespace
}  // namespace quantized
