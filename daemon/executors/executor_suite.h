// What every executor must do, as tests that an implementation instantiates:
//   INSTANTIATE_TEST_SUITE_P(Local, ExecutorSuite, ::testing::Values(&MakeLocalUnderTest));
// Workers are tests/support/fake_worker.cc, whose behaviours the tests name.
#pragma once

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>

#include "daemon/executors/executor.h"
#include "gtest/gtest.h"

namespace quantized {

struct ExecutorTestLimits {
  std::chrono::milliseconds heartbeat_timeout = std::chrono::seconds(60);
  std::chrono::milliseconds exit_grace = std::chrono::seconds(60);
  uint64_t max_log_bytes = uint64_t{16} << 20;
};

// Makes an executor that runs `worker`, the path of a program, and for a model of the Hub before it
// `fetcher`.
using ExecutorFactory = std::unique_ptr<Executor> (*)(const std::filesystem::path& worker,
                                                      const std::filesystem::path& fetcher,
                                                      const ExecutorTestLimits& limits);

class ExecutorSuite : public ::testing::TestWithParam<ExecutorFactory> {};

}  // namespace quantized
