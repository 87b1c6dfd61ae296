// Many first calls at once start one daemon, and all are served.
#include <memory>

#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/support/sandbox.h"

namespace quantized {
namespace {

TEST(FirstCallsTest, TwoHundredAtOnceStartOneDaemon) {
  testing::Sandbox sandbox;
  std::vector<std::unique_ptr<testing::Process>> clients;
  for (int i = 0; i < 200; ++i) {
    clients.push_back(std::make_unique<testing::Process>(
        testing::Sandbox::Command({"--format", "json", "server", "start"}), sandbox.options()));
  }
  std::vector<int64_t> pids;
  for (const auto& client : clients) {
    const testing::ProcessResult result = client->Wait();
    ASSERT_EQ(result.exit_code, 0) << result.err << result.out;
    pids.push_back(nlohmann::json::parse(result.out)["pid"]);
  }
  const auto daemons = sandbox.Processes("quantized");
  ASSERT_EQ(daemons.size(), 1u);
  for (const int64_t pid : pids) EXPECT_EQ(pid, daemons[0]);
}

}  // namespace
}  // namespace quantized
