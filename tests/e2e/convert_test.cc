// Jobs of `convert` through the real programs: a worker that is killed or runs out of disk changes
// no byte of what is made, a job that nobody watches goes on, and what is finished is used again.
#include <signal.h>

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/e2e/moment.h"
#include "tests/support/fault_shim.h"
#include "tests/support/hf_models.h"
#include "tests/support/sandbox.h"

namespace quantized {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::Each;
using testing::Moment;
using ::testing::StartsWith;

constexpr char kWeights[] = "*.part/model.safetensors";

class ConvertJobTest : public ::testing::Test {
 protected:
  // What is converted to the format: of a GGUF file Q4_0 a GPTQ directory, and the other way round.
  fs::path SourceFor(const std::string& format) const {
    return models_ / (format == "gptq" ? "source.gguf" : "source");
  }
  // The daemon that makes them ends: a fault is for one that is yet to start.
  void MakeSourceFor(const std::string& format) {
    Succeed({"quantize", testing::TinyModel(), "gguf", "-q", "Q4_0", "--pure", "-o", models_, "-n",
             "source.gguf"});
    if (format != "gptq") {
      Succeed({"convert", SourceFor("gptq"), "gptq", "-o", models_, "-n", "source"});
    }
    Succeed({"server", "stop"});
    ASSERT_TRUE(sandbox_.GoneSoon("quantized"));
  }

  // With one thread, the n-th operation is always the same.
  std::vector<std::string> Words(const std::string& format,
                                 const std::vector<std::string>& more = {}) const {
    std::vector<std::string> words = {"--format", "json",      "convert", SourceFor(format),
                                      format,     "-o",        "out",     "-n",
                                      "made",     "--threads", "1"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  testing::ProcessResult RunWithFault(const std::vector<std::string>& words,
                                      const std::string& call, const std::string& path, int n,
                                      const std::string& action) const {
    testing::ProcessOptions options = sandbox_.options();
    options.environment.merge(testing::FaultEnvironment({.exe = "quantize-worker",
                                                         .call = call,
                                                         .path = path,
                                                         .n = n,
                                                         .action = action,
                                                         .mark = fired_}));
    return RunProcess(testing::Sandbox::Command(words), options);
  }
  void Succeed(const std::vector<std::string>& words) const {
    const testing::ProcessResult result = sandbox_.Run(words);
    ASSERT_EQ(result.exit_code, 0) << result.err << result.out;
  }
  // The one object on stdout of a run that must succeed.
  static json Made(const testing::ProcessResult& result) {
    EXPECT_EQ(result.exit_code, 0) << result.err << result.out;
    json object = json::parse(result.out, nullptr, false);
    EXPECT_TRUE(object.is_object()) << result.out;
    return object;
  }

  // Every file below the folder of outputs.
  std::map<std::string, std::string> Outputs() const {
    std::map<std::string, std::string> contents;
    for (const std::string& file : testing::FilesBelow(sandbox_.work())) {
      contents[file] = testing::ReadAll(sandbox_.work() / file);
    }
    return contents;
  }
  // Those there are now, nothing else, are what an undisturbed run makes.
  void ExpectUndisturbedOutputs(const std::string& format) {
    const auto found = Outputs();
    EXPECT_THAT(testing::FilesBelow(sandbox_.work()), Each(StartsWith("out/made")));
    const json object = Made(sandbox_.Run(Words(format, {"--overwrite"})));
    EXPECT_EQ(object["metadata"]["already_done"], false);
    EXPECT_EQ(object["metadata"]["units_reused"], 0);
    const auto undisturbed = Outputs();
    ASSERT_EQ(found.size(), undisturbed.size());
    for (const auto& [file, contents] : undisturbed) {
      EXPECT_TRUE(found.contains(file) && found.at(file) == contents) << file;
    }
  }

  testing::Sandbox sandbox_;
  const fs::path models_ = sandbox_.path() / "models";
  const fs::path fired_ = sandbox_.path() / "fired";
};

// kill -9 of the worker; reused are layers of gptq, tensors of gguf. Of gptq the header comes
// first, then the 3 tensors outside layers, then for each layer 7 linears of 4 tensors and 2 norms;
// each of these three is one unit. Of gguf each of 21 tensors is a unit.
constexpr Moment kMoments[] = {
    {"gptq", "write", kWeights, 1, 0},
    {"gptq", "write", kWeights, 20, 0},
    {"gptq", "write", kWeights, 50, 1},
    {"gptq", "sync", kWeights, 2, 1},
    {"gptq", "write", "*/journal", 2, 0},
    {"gptq", "write", "*/journal", 4, 1},
    {"gptq", "rename", "*.part/config.json", 1, 2},
    {"gptq", "rename", "*.part/llm-quantize.json", 1, 2},
    {"gptq", "rename", "*/made.part", 1, 2},
    {"gptq", "unlink", "*/journal", 1, 0},
    {"gguf", "write", "*.part", 1, 0},
    {"gguf", "write", "*.part", 9, 7},
    {"gguf", "write", "*.part", 20, 18},
    {"gguf", "write", "*/journal", 5, 3},
    {"gguf", "sync", "*.part", 1, 1},
    {"gguf", "rename", "*.part", 1, 1},
    {"gguf", "unlink", "*journal", 1, 0},
};

class ConvertKillTest : public ConvertJobTest, public ::testing::WithParamInterface<Moment> {};

TEST_P(ConvertKillTest, EndsWithTheSameFiles) {
  const Moment& moment = GetParam();
  MakeSourceFor(moment.format);
  const json object =
      Made(RunWithFault(Words(moment.format), moment.call, moment.path, moment.nth, "kill"));
  ASSERT_TRUE(fs::exists(fired_)) << "the worker never came to this operation";
  EXPECT_GE(object["metadata"]["attempts"], 2);
  EXPECT_GE(object["metadata"]["units_reused"], moment.least_reused);
  EXPECT_EQ(object["validation_status"], "valid");
  ExpectUndisturbedOutputs(moment.format);
}

INSTANTIATE_TEST_SUITE_P(All, ConvertKillTest, ::testing::ValuesIn(kMoments),
                         [](const auto& param) { return testing::TestNameOf(param.param); });

class ConvertFormatTest : public ConvertJobTest, public ::testing::WithParamInterface<const char*> {
 protected:
  const std::string format_ = GetParam();
  // Where work of either format is half done.
  const std::string path_ = format_ == "gptq" ? kWeights : "*.part";
  const int nth_ = format_ == "gptq" ? 40 : 9;
  const int reused_ = format_ == "gptq" ? 1 : 7;
};

TEST_P(ConvertFormatTest, ADetachedJobOutlivesItsWorkerAndIsAttachedTo) {
  MakeSourceFor(format_);
  const testing::ProcessResult detached =
      RunWithFault(Words(format_, {"--detach"}), "write", path_, nth_, "stop");
  ASSERT_EQ(detached.exit_code, 0) << detached.err;
  const json told = json::parse(detached.out, nullptr, false);
  ASSERT_TRUE(told.is_object()) << detached.out;
  const std::string id = told["id"];
  ASSERT_TRUE(testing::WaitUntil([&] {
    const auto workers = sandbox_.Processes("quantize-worker");
    return !workers.empty() && testing::ProcessState(workers[0]) == 'T';
  })) << "the worker never came to this operation";
  testing::Process attached(testing::Sandbox::Command({"--format", "json", "jobs", "attach", id}),
                            sandbox_.options());
  EXPECT_TRUE(attached.WaitForOutput("Architecture: "));
  for (const pid_t worker : sandbox_.Processes("quantize-worker")) kill(worker, SIGKILL);
  const json object = Made(attached.Wait());
  EXPECT_EQ(object["format"], format_);
  EXPECT_EQ(object["metadata"]["conversion"]["fidelity"], format_ == "gptq" ? "rounded" : "exact");
  EXPECT_EQ(object["metadata"]["attempts"], 2);
  EXPECT_GE(object["metadata"]["units_reused"], reused_);
  ExpectUndisturbedOutputs(format_);
}

TEST_P(ConvertFormatTest, AJobWithoutRoomIsResumed) {
  MakeSourceFor(format_);
  const testing::ProcessResult failed =
      RunWithFault(Words(format_), "write", path_, nth_, "ENOSPC");
  EXPECT_EQ(failed.exit_code, 1) << failed.err;
  const json error = json::parse(failed.out, nullptr, false);
  ASSERT_TRUE(error.is_object()) << failed.out;
  EXPECT_EQ(error["error_type"], "DiskFullError");
  std::vector<fs::path> checkpoints;
  for (const auto& entry : fs::directory_iterator(sandbox_.work() / ".checkpoint")) {
    checkpoints.push_back(entry.path());
  }
  ASSERT_EQ(checkpoints.size(), 1u);
  const json object = Made(sandbox_.Run(Words(format_, {"--resume", checkpoints[0]})));
  EXPECT_GE(object["metadata"]["units_reused"], reused_);
  ExpectUndisturbedOutputs(format_);
}

INSTANTIATE_TEST_SUITE_P(All, ConvertFormatTest, ::testing::Values("gptq", "gguf"),
                         [](const auto& param) { return std::string(param.param); });

}  // namespace
}  // namespace quantized
