// Jobs come and are cancelled, workers do as they please, the daemon stops and dies, all at random;
// the history of every job must be one that the model allows (history_test.h). Each seed is
// another course of events; threads add to it, so a seed narrows a failure down without replaying
// it exactly.
#include <signal.h>

#include <functional>
#include <random>

#include "core/base/error.h"
#include "daemon/queue/history_test.h"
#include "daemon/queue/queue_test.h"
#include "tests/support/faulty_vfs.h"

namespace quantized {
namespace {

using testing::FakeRun;
using testing::NoopRequest;
using testing::QuantizeRequest;

constexpr int kSteps = 60;

// A worker's course, drawn from its job and attempt so that it needs no shared generator.
void PlayAnything(FakeRun& run) {
  std::mt19937 random(static_cast<unsigned>(std::hash<std::string>{}(run.start().job_id())) +
                      run.start().attempt());
  const auto one_in = [&](unsigned n) { return random() % n == 0; };
  if (one_in(20)) return run.Crash(SIGKILL);  // before Hello
  run.Hello();
  for (unsigned i = random() % 5; i > 0; --i) {
    if (one_in(2)) run.SayProgress(i, 5);
    if (one_in(2)) run.SayCheckpoint(random() % 10);
  }
  switch (random() % 8) {
    case 0:
      return run.Crash(SIGSEGV);
    case 1:
      return run.Fail(MakeError(Error::kValidationFailed, "the model is damaged"));
    case 2:
      return;  // works until it is stopped
    default:
      return run.Succeed();
  }
}

class SimulationTest : public testing::QueueTest, public ::testing::WithParamInterface<int> {
 protected:
  void Open() {
    vfs_ = std::make_unique<testing::FaultyVfs>();
    JobQueue::Options options = Options();
    options.store.vfs = vfs_->name();
    options.slots = 3;
    options.store_retry = std::chrono::milliseconds(1);
    queue_ = JobQueue::Start(std::move(options), workers_).value();
  }
  void Die() {
    vfs_->FailAt(vfs_->operations(), /*forever=*/true);
    queue_.reset();
    vfs_->CutPower();
  }

  testing::FakeExecutor workers_{&PlayAnything};
  std::unique_ptr<testing::FaultyVfs> vfs_;
};

TEST_P(SimulationTest, EveryHistoryIsPossibleAndNothingIsLost) {
  std::mt19937 random(GetParam());
  std::vector<std::string> ids;
  Open();
  for (int step = 0; step < kSteps; ++step) {
    switch (random() % 12) {
      case 0:
        Die();
        Open();
        break;
      case 1:
        queue_.reset();
        Open();
        break;
      case 2:
      case 3:
        if (!ids.empty()) {
          EXPECT_TRUE(Cancel(ids[random() % ids.size()]).ok());
        }
        break;
      default:
        ids.push_back(Submit(random() % 2 == 0
                                 ? NoopRequest()
                                 : QuantizeRequest({"/out/" + std::to_string(random() % 4)}))
                          .value()
                          .id());
    }
  }
  // The idle ones would never end; the others do so by themselves, before or after.
  for (const std::string& id : ids) EXPECT_TRUE(Cancel(id).ok());
  for (const std::string& id : ids) {
    SCOPED_TRACE(id);
    std::vector<v1::JobEvent> events = Drain(*queue_->Watch(id, 0));
    std::erase_if(events, [](const v1::JobEvent& event) { return event.ephemeral(); });
    testing::CheckHistory(events, Get(id).value());
  }
  EXPECT_EQ(queue_->live_jobs(), 0);
  queue_.reset();
}

INSTANTIATE_TEST_SUITE_P(Seeds, SimulationTest, ::testing::Range(1, 21));

}  // namespace
}  // namespace quantized
