// Jobs of `convert` through the real programs: a worker that is killed or runs out of disk changes
// no byte of what is made, a job that nobody watches goes on, and what is finished is used again.
#include <signal.h>

#include <cstdint>
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
using ::testing::AllOf;
using ::testing::Each;
using ::testing::HasSubstr;
using testing::Moment;
using ::testing::Not;
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
  testing::ProcessOptions OptionsWithFault(const std::string& call, const std::string& path, int n,
                                           const std::string& action) const {
    testing::ProcessOptions options = sandbox_.options();
    options.environment.merge(testing::FaultEnvironment({.exe = "quantize-worker",
                                                         .call = call,
                                                         .path = path,
                                                         .n = n,
                                                         .action = action,
                                                         .mark = fired_}));
    return options;
  }
  testing::ProcessResult RunWithFault(const std::vector<std::string>& words,
                                      const std::string& call, const std::string& path, int n,
                                      const std::string& action) const {
    return RunProcess(testing::Sandbox::Command(words), OptionsWithFault(call, path, n, action));
  }
  // Whether the worker has stopped itself in front of the operation.
  bool WorkerStops() const {
    return testing::WaitUntil([this] {
      const auto workers = sandbox_.Processes("quantize-worker");
      return !workers.empty() && testing::ProcessState(workers[0]) == 'T';
    });
  }
  // The command that a user is told who interrupts the job in front of its n-th write; here its
  // result is JSON.
  std::string CommandThatGoesOn(const std::vector<std::string>& words, const std::string& path,
                                int n) const {
    testing::Process client(testing::Sandbox::Command(words),
                            OptionsWithFault("write", path, n, "stop"));
    EXPECT_TRUE(WorkerStops()) << "the worker never came to this operation";
    client.Signal(SIGINT);
    EXPECT_TRUE(testing::WaitUntil([this] {
      return sandbox_.Run({"jobs", "list"}).out.find("CANCELLING") != std::string::npos;
    }));
    for (const pid_t worker : sandbox_.Processes("quantize-worker")) kill(worker, SIGCONT);
    const testing::ProcessResult result = client.Wait();
    EXPECT_EQ(result.signal, SIGINT) << result.err;
    const json error = json::parse(result.out, nullptr, false);
    EXPECT_TRUE(error.is_object()) << result.out;
    const std::string begin = "Go on with: llm-quantize ";
    const std::string suggestion = error.is_object() ? error.value("suggestion", "") : "";
    EXPECT_THAT(suggestion, StartsWith(begin));
    return suggestion.starts_with(begin)
               ? "llm-quantize --format json " + suggestion.substr(begin.size())
               : "false";
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

TEST_F(ConvertJobTest, TheCommandThatIsPrintedDoesNotAskForTheLossAgain) {
  MakeSourceFor("gguf");
  const std::vector<std::string> loss = {"-q", "Q5_1", "--force"};
  const std::string command = CommandThatGoesOn(Words("gguf", loss), "*.part", 9);
  const json object = Made(sandbox_.RunInShell(command));
  EXPECT_GE(object["metadata"]["units_reused"], 7);
  EXPECT_EQ(object["metadata"]["conversion"]["fidelity"], "requantized");
  EXPECT_TRUE(object["metadata"]["conversion"]["relative_error"].is_null()) << "nobody measures it";
}

TEST_F(ConvertJobTest, PlanResultAndInfoTellTheSameLoss) {
  Succeed(
      {"quantize", testing::TinyModel(), "gguf", "-q", "Q5_1", "-o", models_, "-n", "source.gguf"});
  std::vector<std::string> words = Words("gptq", {"-q", "4bit", "--plan"});
  const json planned = Made(sandbox_.Run(words))["conversion"];
  words.back() = "--force";
  const json made = Made(sandbox_.Run(words))["metadata"]["conversion"];
  EXPECT_EQ(made["fidelity"], "requantized");
  const double error = made["relative_error"];
  EXPECT_GT(error, 0.01);
  EXPECT_NEAR(planned["relative_error"], error, error / 4) << "of a sample";
  const json compared =
      Made(sandbox_.Run({"--format", "json", "info", "out/made", "--against", SourceFor("gptq")}));
  EXPECT_NEAR(compared["relative_error"], error, error / 4) << "of all matrices";

  // What is there already is as far off as it was.
  const json again = Made(sandbox_.Run(words))["metadata"];
  EXPECT_EQ(again["already_done"], true);
  EXPECT_EQ(again["conversion"], made);
  words.erase(words.begin(), words.begin() + 2);
  EXPECT_THAT(sandbox_.Run(words).out,
              HasSubstr("Conversion: requantized from gguf Q5_1; weights changed by "));
}

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
  EXPECT_EQ(told["spec"]["operation"], "convert");
  const std::string id = told["id"];
  ASSERT_TRUE(WorkerStops()) << "the worker never came to this operation";
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

TEST_P(ConvertFormatTest, TheCommandThatIsPrintedGoesOn) {
  MakeSourceFor(format_);
  const std::string command = CommandThatGoesOn(Words(format_), path_, nth_);
  const json object = Made(sandbox_.RunInShell(command));
  EXPECT_GE(object["metadata"]["units_reused"], reused_);
  ExpectUndisturbedOutputs(format_);
}

INSTANTIATE_TEST_SUITE_P(All, ConvertFormatTest, ::testing::Values("gptq", "gguf"),
                         [](const auto& param) { return std::string(param.param); });

// GPTQ of a GGUF file, AWQ of a GPTQ directory.
class ConvertedFolderTest : public ConvertFormatTest {
 protected:
  const fs::path folder_ = sandbox_.work() / "out" / "made";
};

TEST_P(ConvertedFolderTest, IsDoneAsLongAsItIsWhatWasMade) {
  MakeSourceFor(format_);
  Made(sandbox_.Run(Words(format_)));
  const json again = Made(sandbox_.Run(Words(format_)));
  EXPECT_EQ(again["metadata"]["already_done"], true);
  EXPECT_EQ(again["validation_status"], "valid");

  const fs::path weights = folder_ / "model.safetensors";
  const uint64_t size_bytes = fs::file_size(weights);
  fs::resize_file(weights, size_bytes - 100);
  const testing::ProcessResult refused = sandbox_.Run(Words(format_));
  EXPECT_EQ(refused.exit_code, 2) << refused.out << refused.err;
  const json error = json::parse(refused.out, nullptr, false);
  ASSERT_TRUE(error.is_object()) << refused.out;
  EXPECT_THAT(
      error.value("message", ""),
      AllOf(HasSubstr(folder_.string()), HasSubstr("exists already"),
            HasSubstr("model.safetensors: found " + std::to_string(size_bytes - 100) + " bytes")));
  EXPECT_THAT(error.value("suggestion", ""), HasSubstr("--overwrite"));

  const json anew = Made(sandbox_.Run(Words(format_, {"--overwrite"})));
  EXPECT_EQ(anew["metadata"]["already_done"], false);
  EXPECT_EQ(fs::file_size(weights), size_bytes);
}

// Nothing was calibrated, and what the source was it is no more.
TEST_P(ConvertedFolderTest, SaysOfItselfWhatHappened) {
  MakeSourceFor(format_);
  Made(sandbox_.Run(Words(format_)));
  const json config = json::parse(testing::ReadAll(folder_ / "config.json"));
  const json& quantization = config["quantization_config"];
  EXPECT_EQ(quantization["quant_method"], format_);
  for (const char* field : {"damp_percent", "true_sequential", "static_groups"}) {
    EXPECT_FALSE(quantization.contains(field)) << field;
  }
  if (format_ == "gptq") {
    EXPECT_EQ(json::parse(testing::ReadAll(folder_ / "quantize_config.json")), quantization);
  }
  const std::string card = testing::ReadAll(folder_ / "README.md");
  EXPECT_THAT(card, HasSubstr("- \"" + format_ + "\"\n"));
  EXPECT_THAT(card, Not(HasSubstr(format_ == "gptq" ? "- \"awq\"" : "- \"gptq\"")));
  EXPECT_THAT(card, Not(HasSubstr("Damping")));
  EXPECT_THAT(card, Not(HasSubstr("| Codes |")));
}

INSTANTIATE_TEST_SUITE_P(All, ConvertedFolderTest, ::testing::Values("gptq", "awq"),
                         [](const auto& param) { return std::string(param.param); });

}  // namespace
}  // namespace quantized
