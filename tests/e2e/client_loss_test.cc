// The client's loss never ends a job: terminal closed, client killed, streams closed. `jobs attach`
// then gives what an undisturbed run would have given.
#include <signal.h>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/support/fault_shim.h"
#include "tests/support/hf_models.h"
#include "tests/support/sandbox.h"

namespace quantized {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

// A result without what differs from run to run.
json Comparable(const std::string& out) {
  json object = json::parse(out, nullptr, false);
  EXPECT_TRUE(object.is_object()) << out;
  for (const char* key : {"duration_seconds", "peak_memory_bytes"}) object.erase(key);
  for (const char* key : {"cpu_seconds", "host_memory_bytes", "job_id"}) {
    object["metadata"].erase(key);
  }
  return object;
}

class ClientLossTest : public ::testing::Test {
 protected:
  // Starts a job whose worker holds still in front of its third write, so that the client is lost
  // while the job runs.
  std::unique_ptr<testing::Process> StartAndHold() {
    testing::ProcessOptions options = sandbox_.options();
    options.environment.merge(testing::FaultEnvironment({.exe = "quantize-worker",
                                                         .call = "write",
                                                         .path = "*.part",
                                                         .n = 3,
                                                         .action = "stop",
                                                         .mark = sandbox_.path() / "fired"}));
    options.new_session = true;
    auto client = std::make_unique<testing::Process>(
        testing::Sandbox::Command({"--format", "json", "quantize", testing::TinyModel(), "gguf",
                                   "-q", "Q4_K_M", "-n", "out.gguf", "--threads", "1"}),
        options);
    EXPECT_TRUE(testing::WaitUntil([&] {
      const auto workers = sandbox_.Processes("quantize-worker");
      return !workers.empty() && testing::ProcessState(workers[0]) == 'T';
    }));
    return client;
  }

  void Release() {
    for (const pid_t worker : sandbox_.Processes("quantize-worker")) kill(worker, SIGCONT);
  }

  // Re-attaches to the one job there is and compares with an undisturbed run in the same place.
  void ExpectAttachGivesTheResult() {
    testing::Process attach(testing::Sandbox::Command({"--format", "json", "jobs", "attach"}),
                            sandbox_.options());
    EXPECT_TRUE(attach.WaitForOutput("Architecture: "));
    Release();
    const testing::ProcessResult attached = attach.Wait();
    ASSERT_EQ(attached.exit_code, 0) << attached.err << attached.out;
    ASSERT_EQ(sandbox_.Processes("quantized").size(), 1u);
    std::filesystem::remove(sandbox_.work() / "out.gguf");
    const testing::ProcessResult plain =
        sandbox_.Run({"--format", "json", "quantize", testing::TinyModel(), "gguf", "-q", "Q4_K_M",
                      "-n", "out.gguf", "--threads", "1"});
    ASSERT_EQ(plain.exit_code, 0) << plain.err;
    EXPECT_EQ(Comparable(attached.out), Comparable(plain.out));
  }

  testing::Sandbox sandbox_;
};

TEST_F(ClientLossTest, Hangup) {
  const auto client = StartAndHold();
  client->Signal(SIGHUP);
  EXPECT_NE(client->Wait().exit_code, 0);
  ExpectAttachGivesTheResult();
}

TEST_F(ClientLossTest, Terminated) {
  const auto client = StartAndHold();
  client->Signal(SIGTERM);
  EXPECT_NE(client->Wait().exit_code, 0);
  ExpectAttachGivesTheResult();
}

TEST_F(ClientLossTest, Killed) {
  const auto client = StartAndHold();
  client->Signal(SIGKILL);
  EXPECT_EQ(client->Wait().signal, SIGKILL);
  ExpectAttachGivesTheResult();
}

TEST_F(ClientLossTest, OutputsClosedMidStream) {
  const auto client = StartAndHold();
  client->CloseOutputs();
  ExpectAttachGivesTheResult();
  EXPECT_NE(client->Wait().exit_code, 0);  // its result had nowhere to go
}

TEST_F(ClientLossTest, EventsAreCompleteAndInOrder) {
  const auto client = StartAndHold();
  client->Signal(SIGKILL);
  client->Wait();
  testing::Process attach(
      testing::Sandbox::Command({"--format", "json", "--verbosity", "debug", "jobs", "attach"}),
      sandbox_.options());
  EXPECT_TRUE(attach.WaitForOutput("Architecture: "));
  Release();
  const testing::ProcessResult result = attach.Wait();
  ASSERT_EQ(result.exit_code, 0) << result.err;
  for (const char* line : {"Loading model: ", "Architecture: ", "Quantizing to GGUF Q4_K_M",
                           "Validating output...", "Complete: "}) {
    EXPECT_THAT(result.err, HasSubstr(line));
  }
  size_t from = 0;
  for (const char* line : {"Loading model: ", "Architecture: ", "Quantizing to GGUF Q4_K_M",
                           "Validating output...", "Complete: "}) {
    const size_t at = result.err.find(line, from);
    EXPECT_NE(at, std::string::npos) << line << " comes too early in\n" << result.err;
    from = at == std::string::npos ? from : at;
  }
}

TEST_F(ClientLossTest, InterruptCancelsKeepsTheCheckpointAndDiesBySigint) {
  const auto client = StartAndHold();
  client->Signal(SIGINT);
  Release();
  const testing::ProcessResult result = client->Wait();
  EXPECT_EQ(result.signal, SIGINT) << result.err;
  EXPECT_THAT(result.err, HasSubstr("Go on with: llm-quantize quantize"));
  EXPECT_EQ(json::parse(result.out, nullptr, false)["error_type"], "CancelledError") << result.out;
  EXPECT_TRUE(std::filesystem::exists(sandbox_.work() / ".checkpoint"));
  EXPECT_FALSE(std::filesystem::exists(sandbox_.work() / "out.gguf"));

  const testing::ProcessResult again =
      sandbox_.Run({"--format", "json", "quantize", testing::TinyModel(), "gguf", "-q", "Q4_K_M",
                    "-n", "out.gguf", "--resume", ".checkpoint"});
  ASSERT_EQ(again.exit_code, 0) << again.err << again.out;
  EXPECT_GE(json::parse(again.out)["metadata"]["units_reused"], 1);
}

}  // namespace
}  // namespace quantized
