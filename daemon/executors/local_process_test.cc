#include "daemon/executors/local_process.h"

#include <filesystem>
#include <memory>

#include "core/base/error.h"
#include "daemon/executors/executor_suite.h"
#include "gtest/gtest.h"
#include "tests/support/paths.h"

namespace quantized {
namespace {

std::unique_ptr<Executor> MakeLocal(const std::filesystem::path& worker,
                                    const std::filesystem::path& fetcher,
                                    const ExecutorTestLimits& limits) {
  return CreateLocalExecutor({.worker_binary = worker,
                              .fetcher_binary = fetcher,
                              .heartbeat_timeout = limits.heartbeat_timeout,
                              .exit_grace = limits.exit_grace,
                              .max_log_bytes = limits.max_log_bytes})
      .value();
}

INSTANTIATE_TEST_SUITE_P(Local, ExecutorSuite, ::testing::Values(&MakeLocal));

TEST(LocalExecutorTest, RefusesAWorkerThatCannotRun) {
  const testing::TempDir folder;
  for (const std::filesystem::path& path : {folder.path() / "missing", folder.path()}) {
    EXPECT_EQ(ErrorOf(CreateLocalExecutor({.worker_binary = path}).status()), Error::kInternal);
  }
}

class Silent final : public AttemptObserver {
  void OnFrame(const v1::WorkerFrame&) override {}
  void OnRunning(int64_t, uint64_t) override {}
  void OnEnd(AttemptEnd) override { ADD_FAILURE() << "an attempt that never began has ended"; }
};

TEST(LocalExecutorTest, StartFailsWhereThereIsNoProcessOrNoLog) {
  const testing::TempDir folder;
  const std::filesystem::path worker = folder.path() / "worker";
  std::filesystem::copy(testing::BinDir() / "fake-worker", worker);
  const auto executor = CreateLocalExecutor({.worker_binary = worker}).value();
  Silent observer;
  EXPECT_EQ(ErrorOf(executor->Start({}, "/dev/null/no/log", observer).status()), Error::kIo);
  std::filesystem::remove(worker);
  EXPECT_EQ(ErrorOf(executor->Start({}, folder.path() / "log", observer).status()),
            Error::kInternal);
}

}  // namespace
}  // namespace quantized
