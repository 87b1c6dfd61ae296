// kill -9 of the worker, of the daemon and of both, at chosen moments of a running job: the client
// that watches prints one right result, the bytes are those of an undisturbed run, what was
// finished is reused, and nothing is left behind. The fault shim stops the worker (SIGSTOP) at its
// N-th operation, so that a moment is an operation and not a time.
#include <signal.h>

#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "core/base/sha256.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/support/fault_shim.h"
#include "tests/support/hf_models.h"
#include "tests/support/sandbox.h"

namespace quantized {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;

constexpr char kOutput[] = "out.gguf";

std::string Digest(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return Sha256Hex(std::string(std::istreambuf_iterator<char>(in), {}));
}

std::vector<std::string> QuantizeCommand(const std::string& threads) {
  return testing::Sandbox::Command({"--format", "json", "quantize", testing::TinyModel(), "gguf",
                                    "-q", "Q4_K_M", "-n", kOutput, "--threads", threads});
}

const std::string& UndisturbedDigest() {
  static const std::string digest = [] {
    testing::Sandbox sandbox;
    const auto result = RunProcess(QuantizeCommand("1"), sandbox.options());
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return Digest(sandbox.work() / kOutput);
  }();
  return digest;
}

struct Moment {
  const char* call;
  const char* path;
  int nth;
  int least_reused;  // tensors that must come from the checkpoint in the last attempt
};

// With one thread each tensor of the model is one write: before the N-th, N - 2 are noted.
constexpr Moment kMoments[] = {
    {"write", "*.part", 1, 0},     {"write", "*.part", 2, 0},      {"write", "*.part", 3, 1},
    {"write", "*.part", 6, 4},     {"write", "*.part", 9, 7},      {"write", "*.part", 12, 10},
    {"write", "*.part", 15, 13},   {"write", "*.part", 18, 16},    {"write", "*.part", 20, 18},
    {"write", "*/journal", 1, 0},  {"write", "*/journal", 2, 0},   {"write", "*/journal", 5, 3},
    {"write", "*/journal", 10, 8}, {"write", "*/journal", 15, 13}, {"sync", "*.part", 1, 1},
    {"read", "*.part", 1, 1},      {"read", "*.part", 8, 1},       {"read", "*.part", 15, 1},
    {"rename", "*.part", 1, 1},    {"unlink", "*journal", 1, 0},
};

enum class Victim { kWorker, kDaemon, kBoth };

class KillTest : public ::testing::TestWithParam<std::tuple<Victim, Moment>> {};

TEST_P(KillTest, EndsWithTheSameBytes) {
  const auto [victim, moment] = GetParam();
  ASSERT_FALSE(UndisturbedDigest().empty());
  testing::Sandbox sandbox;
  testing::ProcessOptions options = sandbox.options();
  options.environment.merge(testing::FaultEnvironment({.exe = "quantize-worker",
                                                       .call = moment.call,
                                                       .path = moment.path,
                                                       .n = moment.nth,
                                                       .action = "stop",
                                                       .mark = sandbox.path() / "fired"}));
  testing::Process client(QuantizeCommand("1"), options);
  // The moment: the worker has stopped itself in front of the operation.
  pid_t worker = 0;
  ASSERT_TRUE(testing::WaitUntil([&] {
    const auto workers = sandbox.Processes("quantize-worker");
    if (workers.empty() || testing::ProcessState(workers[0]) != 'T') return false;
    worker = workers[0];
    return true;
  })) << "the worker never came to this operation";
  const auto daemons = sandbox.Processes("quantized");
  ASSERT_EQ(daemons.size(), 1u);
  if (victim != Victim::kWorker) kill(daemons[0], SIGKILL);
  if (victim != Victim::kDaemon) kill(worker, SIGKILL);

  const testing::ProcessResult result = client.Wait();
  ASSERT_EQ(result.exit_code, 0) << result.err << result.out;
  const json object = json::parse(result.out, nullptr, false);
  ASSERT_TRUE(object.is_object()) << result.out;
  EXPECT_EQ(object["status"], "success");
  EXPECT_EQ(object["validation_status"], "valid");
  EXPECT_GE(object["metadata"]["attempts"], 2);
  EXPECT_GE(object["metadata"]["units_reused"], moment.least_reused);
  EXPECT_EQ(Digest(sandbox.work() / kOutput), UndisturbedDigest());
  EXPECT_THAT(testing::FilesBelow(sandbox.work()), ElementsAre(kOutput));
  EXPECT_TRUE(sandbox.GoneSoon("quantize-worker"));
}

std::string Name(const ::testing::TestParamInfo<std::tuple<Victim, Moment>>& info) {
  const auto& [victim, moment] = info.param;
  constexpr const char* kVictims[] = {"Worker", "Daemon", "Both"};
  std::string name = std::string(kVictims[static_cast<int>(victim)]) + "_" + moment.call + "_" +
                     std::to_string(moment.nth) + "_";
  for (const char c : std::string(moment.path)) name += isalnum(c) ? c : '_';
  return name;
}

INSTANTIATE_TEST_SUITE_P(All, KillTest,
                         ::testing::Combine(::testing::Values(Victim::kWorker, Victim::kDaemon,
                                                              Victim::kBoth),
                                            ::testing::ValuesIn(kMoments)),
                         Name);

}  // namespace
}  // namespace quantized
