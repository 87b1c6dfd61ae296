// What runs a model on text, through the real programs, on a small model: AWQ, GPTQ, importance
// matrices and reports. What is made and told, what a second run does, and that a worker that is
// killed or stopped changes no byte of any file.
#include <signal.h>

#include <filesystem>
#include <map>
#include <memory>
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
using ::testing::Contains;
using ::testing::HasSubstr;
using testing::Moment;

// Contents of every file below `folder`.
std::map<std::string, std::string> Contents(const fs::path& folder) {
  std::map<std::string, std::string> contents;
  for (const std::string& file : testing::FilesBelow(folder)) {
    contents[file] = testing::ReadAll(folder / file);
  }
  return contents;
}

// Text of `words` words, which differ from place to place.
std::string Text(int words) {
  constexpr const char* kWords[] = {"the", "river", "carries", "seven", "stones", "to",
                                    "a",   "house", "of",      "paper", "walls",  "and"};
  std::string text;
  uint32_t state = 1;
  for (int i = 0; i < words; ++i) {
    state = state * 1664525 + 1013904223;
    text += kWords[(state >> 16) % 12];
    text += i % 9 == 8 ? ".\n" : " ";
  }
  return text;
}

class CalibratedTest : public ::testing::Test {
 protected:
  CalibratedTest() { testing::WriteAll(sandbox_.work() / "data.txt", Text(2000)); }

  static std::vector<std::string> Words(const std::string& format, const std::string& level,
                                        const std::vector<std::string>& more = {}) {
    std::vector<std::string> words = {"--format", "json",
                                      "quantize", testing::TinyModel(),
                                      format,     "-q",
                                      level,      "-o",
                                      "out",      "--group-size",
                                      "32",       "--calibration-data",
                                      "data.txt", "--calibration-samples",
                                      "6",        "--sequence-length",
                                      "32"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  testing::ProcessResult Run(const std::string& format, const std::string& level,
                             const std::vector<std::string>& more = {}) const {
    return sandbox_.Run(Words(format, level, more));
  }
  // The one object on stdout of a run that must succeed.
  json Made(const std::string& format, const std::string& level,
            const std::vector<std::string>& more = {}) const {
    const testing::ProcessResult result = Run(format, level, more);
    EXPECT_EQ(result.exit_code, 0) << result.err << result.out;
    json object = json::parse(result.out, nullptr, false);
    EXPECT_FALSE(object.is_discarded()) << result.out;
    return object;
  }

  fs::path Output(const std::string& name) const { return sandbox_.work() / "out" / name; }

  // Starts a job whose worker holds still in front of its n-th operation of a kind.
  std::unique_ptr<testing::Process> StartAndHold(const std::string& format, const std::string& call,
                                                 const std::string& path, int n,
                                                 const std::vector<std::string>& more = {},
                                                 const std::string& level = "4bit") {
    testing::ProcessOptions options = sandbox_.options();
    options.environment.merge(testing::FaultEnvironment({.exe = "quantize-worker",
                                                         .call = call,
                                                         .path = path,
                                                         .n = n,
                                                         .action = "stop",
                                                         .mark = sandbox_.path() / "fired"}));
    auto client = std::make_unique<testing::Process>(
        testing::Sandbox::Command(Words(format, level, more)), options);
    EXPECT_TRUE(testing::WaitUntil([&] {
      const auto workers = sandbox_.Processes("quantize-worker");
      return !workers.empty() && testing::ProcessState(workers[0]) == 'T';
    })) << "the worker never came to this operation";
    return client;
  }
  void SignalWorkers(int signal) const {
    for (const pid_t worker : sandbox_.Processes("quantize-worker")) kill(worker, signal);
  }

  testing::Sandbox sandbox_;
};

class CalibratedFormatTest
    : public CalibratedTest,
      public ::testing::WithParamInterface<std::pair<const char*, const char*>> {};

TEST_P(CalibratedFormatTest, MakesAFolderThatIsWholeAndTellsOfIt) {
  const auto [format, level] = GetParam();
  const std::string name = std::string("llama2-spm-sharded-") + format + "-" + level;
  const json object = Made(format, level);
  ASSERT_TRUE(object.is_object()) << object;
  EXPECT_EQ(object["status"], "success");
  EXPECT_EQ(object["output_path"], Output(name).string());
  EXPECT_EQ(object["format"], format);
  EXPECT_EQ(object["quantization_level"], level);
  EXPECT_EQ(object["validation_status"], "valid");
  const json& metadata = object["metadata"];
  EXPECT_EQ(metadata["layers_processed"], 2);
  EXPECT_EQ(metadata["group_size"], 32);
  EXPECT_EQ(metadata["calibration"]["data"], "data.txt");
  EXPECT_EQ(metadata["calibration"]["samples"], 6);
  EXPECT_EQ(metadata["calibration"]["sequence_length"], 32);
  EXPECT_EQ(metadata["calibration"]["hash"].get<std::string>().size(), 64u);
  EXPECT_GT(metadata["mean_module_error"], 0);
  EXPECT_LT(metadata["mean_module_error"], 0.2);

  const auto files = testing::FilesBelow(Output(name));
  for (const char* file : {"README.md", "config.json", "llm-quantize.json", "model.safetensors",
                           "tokenizer.model", "tokenizer_config.json"}) {
    EXPECT_THAT(files, Contains(file));
  }
  EXPECT_EQ(std::string(format) == "gptq", fs::exists(Output(name) / "quantize_config.json"));
  EXPECT_EQ(object["file_size"], fs::file_size(Output(name) / "model.safetensors"));
  const json config = json::parse(testing::ReadAll(Output(name) / "config.json"));
  EXPECT_EQ(config["quantization_config"]["quant_method"], format);
  EXPECT_EQ(config["quantization_config"]["bits"], level[0] - '0');
  EXPECT_EQ(config["quantization_config"]["group_size"], 32);
  EXPECT_THAT(testing::FilesBelow(sandbox_.work()).size(), files.size() + 1);  // and data.txt

  // A second run makes nothing and prints what is known; with another number of threads it is the
  // same job, and made again it is the same output.
  const auto first = Contents(Output(name));
  const json again = Made(format, level);
  EXPECT_EQ(again["metadata"]["already_done"], true);
  EXPECT_EQ(again["metadata"]["calibration"], metadata["calibration"]);
  EXPECT_EQ(again["metadata"]["mean_module_error"], metadata["mean_module_error"]);
  EXPECT_EQ(again["metadata"]["notes"], metadata["notes"]);
  const json anew = Made(format, level, {"--overwrite", "--threads", "1"});
  EXPECT_EQ(anew["metadata"]["already_done"], false);
  EXPECT_EQ(Contents(Output(name)), first);
  EXPECT_EQ(testing::FilesBelow(sandbox_.work()).size(), files.size() + 1);
}

INSTANTIATE_TEST_SUITE_P(All, CalibratedFormatTest,
                         ::testing::Values(std::pair("gptq", "4bit"), std::pair("gptq", "8bit"),
                                           std::pair("gptq", "3bit"), std::pair("awq", "4bit")),
                         [](const auto& param) {
                           return std::string(param.param.first) + "_" + param.param.second;
                         });

TEST_F(CalibratedTest, MoreBitsAreCloserAndOtherOptionsAreOtherJobs) {
  const json eight = Made("gptq", "8bit");
  const json four = Made("gptq", "4bit");
  EXPECT_LT(eight["metadata"]["mean_module_error"].get<double>(),
            four["metadata"]["mean_module_error"].get<double>() / 10);
  const std::string name = "llama2-spm-sharded-gptq-4bit";
  const auto plain = Contents(Output(name));
  // Each of them makes another output, which stands for itself.
  for (const std::vector<std::string>& options :
       std::vector<std::vector<std::string>>{{"--seed", "5", "--calibration-samples", "3"},
                                             {"--act-order", "full"},
                                             {"--damping", "0.1"},
                                             {"--asymmetric"},
                                             {"--group-size", "64"}}) {
    SCOPED_TRACE(options[0]);
    const testing::ProcessResult refused = Run("gptq", "4bit", options);
    EXPECT_EQ(refused.exit_code, 2) << refused.err;
    EXPECT_THAT(json::parse(refused.out)["message"].get<std::string>(),
                HasSubstr("exists already"));
    std::vector<std::string> overwriting = options;
    overwriting.push_back("--overwrite");
    Made("gptq", "4bit", overwriting);
    EXPECT_NE(Contents(Output(name))["model.safetensors"], plain.at("model.safetensors"));
  }
}

TEST_F(CalibratedTest, SeveralLevelsAreOneJob) {
  const json array = Made("gptq", "4bit,8bit");
  ASSERT_TRUE(array.is_array()) << array;
  ASSERT_EQ(array.size(), 2u);
  EXPECT_EQ(array[0]["quantization_level"], "4bit");
  EXPECT_EQ(array[1]["quantization_level"], "8bit");
  EXPECT_EQ(array[0]["metadata"]["job_id"], array[1]["metadata"]["job_id"]);
  const auto four = Contents(Output("llama2-spm-sharded-gptq-4bit"));
  EXPECT_TRUE(fs::exists(Output("llama2-spm-sharded-gptq-8bit") / "model.safetensors"));
  // A level is the same whether it is alone or not.
  Made("gptq", "4bit", {"--overwrite"});
  EXPECT_EQ(Contents(Output("llama2-spm-sharded-gptq-4bit")), four);
}

TEST_F(CalibratedTest, LittleDataIsTold) {
  const testing::ProcessResult result = Run("gptq", "4bit", {"--calibration-samples", "1000"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.err, HasSubstr("Warning: calibration data data.txt: "));
  EXPECT_LT(json::parse(result.out)["metadata"]["calibration"]["samples"], 1000);
  const testing::ProcessResult none = Run("awq", "4bit", {"--sequence-length", "100000"});
  EXPECT_EQ(none.exit_code, 2) << none.err;
  EXPECT_THAT(json::parse(none.out)["message"].get<std::string>(), HasSubstr("data.txt"));
  EXPECT_FALSE(fs::exists(Output("llama2-spm-sharded-awq-4bit")));
}

TEST_F(CalibratedTest, InterruptKeepsTheCheckpointAndTheSameCommandGoesOn) {
  const auto client = StartAndHold("gptq", "write", "*/journal", 3);
  client->Signal(SIGINT);
  SignalWorkers(SIGCONT);
  const testing::ProcessResult result = client->Wait();
  EXPECT_EQ(result.signal, SIGINT) << result.err;
  EXPECT_EQ(json::parse(result.out, nullptr, false)["error_type"], "CancelledError") << result.out;
  EXPECT_THAT(result.err, HasSubstr("--calibration-samples 6 --sequence-length 32"));
  EXPECT_TRUE(fs::exists(sandbox_.work() / ".checkpoint"));
  const std::string name = "llama2-spm-sharded-gptq-4bit";
  EXPECT_FALSE(fs::exists(Output(name)));
  EXPECT_TRUE(fs::exists(Output(name + ".part")));

  const json again = Made("gptq", "4bit");
  EXPECT_GE(again["metadata"]["units_reused"], 1);
  EXPECT_FALSE(fs::exists(sandbox_.work() / ".checkpoint"));
  const auto resumed = Contents(Output(name));
  Made("gptq", "4bit", {"--overwrite"});
  EXPECT_EQ(Contents(Output(name)), resumed);
}

// kill -9 of the worker; units are layers. A layer of gptq is 7 linears of 4 tensors and 2 norms;
// outside layers are 3 tensors. The file's header is written first.
constexpr Moment kMoments[] = {
    {"gptq", "write", "*.part/model.safetensors", 1, 0},
    {"gptq", "write", "*.part/model.safetensors", 3, 0},
    {"gptq", "write", "*.part/model.safetensors", 20, 0},
    {"gptq", "write", "*.part/model.safetensors", 50, 1},
    {"gptq", "rename", "*.part/.layer-1.json", 1, 1},
    {"gptq", "write", "*/journal", 2, 0},
    {"gptq", "write", "*/journal", 3, 1},
    {"gptq", "unlink", "*.part/.layer-0.json", 1, 2},
    {"gptq", "unlink", "*.part/.layer-1.json", 1, 2},
    {"gptq", "rename", "*.part/config.json", 1, 2},
    {"gptq", "rename", "*.part/llm-quantize.json", 1, 2},
    {"gptq", "sync", "*.part/model.safetensors", 2, 1},
    {"gptq", "rename", "*-gptq-4bit.part", 1, 2},
    {"gptq", "unlink", "*/journal", 1, 0},
    {"awq", "write", "*.part/model.safetensors", 45, 1},
    {"awq", "rename", "*-awq-4bit.part", 1, 2},
};

class CalibratedKillTest : public CalibratedTest, public ::testing::WithParamInterface<Moment> {};

TEST_P(CalibratedKillTest, EndsWithTheSameFiles) {
  const Moment& moment = GetParam();
  const auto client = StartAndHold(moment.format, moment.call, moment.path, moment.nth);
  SignalWorkers(SIGKILL);
  const testing::ProcessResult result = client->Wait();
  ASSERT_EQ(result.exit_code, 0) << result.err << result.out;
  const json object = json::parse(result.out, nullptr, false);
  ASSERT_TRUE(object.is_object()) << result.out;
  EXPECT_GE(object["metadata"]["attempts"], 2);
  EXPECT_GE(object["metadata"]["units_reused"], moment.least_reused);
  const std::string name = std::string("llama2-spm-sharded-") + moment.format + "-4bit";
  EXPECT_THAT(testing::FilesBelow(sandbox_.work()).size(),
              testing::FilesBelow(Output(name)).size() + 1);
  const auto resumed = Contents(Output(name));

  const json undisturbed = Made(moment.format, "4bit", {"--overwrite"});
  EXPECT_EQ(undisturbed["metadata"]["already_done"], false);
  EXPECT_EQ(undisturbed["metadata"]["mean_module_error"], object["metadata"]["mean_module_error"]);
  EXPECT_EQ(Contents(Output(name)), resumed);
}

INSTANTIATE_TEST_SUITE_P(All, CalibratedKillTest, ::testing::ValuesIn(kMoments),
                         [](const auto& param) { return testing::TestNameOf(param.param); });

// kill -9 while an importance matrix is measured or a result compared with its source.
struct SideMoment {
  const char* call;
  const char* path;
};
constexpr SideMoment kSideMoments[] = {
    {"write", "*/importance/*.walk.tmp"},
    {"sync", "*/importance/*.walk.tmp"},
    {"rename", "*/importance/*.walk.tmp"},
    {"rename", "*/importance/*.gguf.tmp"},
    {"unlink", "*/importance/*.walk"},
    {"unlink", "*/importance/*.lock"},
    {"rename", "*/m.gguf.tmp"},
    {"rename", "*.report.json.tmp"},
    {"rename", "*.report.html.tmp"},
};

class SideWorkKillTest : public CalibratedTest, public ::testing::WithParamInterface<SideMoment> {};

TEST_P(SideWorkKillTest, EndsWithTheSameFiles) {
  const SideMoment& moment = GetParam();
  const std::vector<std::string> more = {"--report", "--report-samples", "3", "--imatrix-out",
                                         "m.gguf"};
  const auto client = StartAndHold("gguf", moment.call, moment.path, 1, more, "IQ2_XXS");
  SignalWorkers(SIGKILL);
  const testing::ProcessResult result = client->Wait();
  ASSERT_EQ(result.exit_code, 0) << result.err << result.out;
  const json object = json::parse(result.out, nullptr, false);
  ASSERT_TRUE(object.is_object()) << result.out;
  EXPECT_GE(object["metadata"]["attempts"], 2);
  EXPECT_GT(object["metadata"]["quality"]["kl_divergence"], 0);
  const auto resumed = Contents(sandbox_.work());
  EXPECT_THAT(testing::FilesBelow(sandbox_.work()).size(), 5u);  // data, matrix, model, report

  // Measured anew.
  for (const std::string& file : testing::FilesBelow(sandbox_.path())) {
    const fs::path path = sandbox_.path() / file;
    if (path.parent_path().filename() != "importance") continue;
    EXPECT_EQ(path.extension(), ".gguf") << path;
    fs::remove(path);
  }
  const testing::ProcessResult anew = Run("gguf", "IQ2_XXS", [&] {
    std::vector<std::string> overwriting = more;
    overwriting.push_back("--overwrite");
    return overwriting;
  }());
  ASSERT_EQ(anew.exit_code, 0) << anew.err;
  EXPECT_THAT(anew.err, HasSubstr("Measuring importance"));
  EXPECT_EQ(Contents(sandbox_.work()), resumed);
}

INSTANTIATE_TEST_SUITE_P(All, SideWorkKillTest, ::testing::ValuesIn(kSideMoments),
                         [](const auto& param) {
                           return testing::AsTestName(std::string(param.param.call) + "_" +
                                                      param.param.path);
                         });

TEST_F(CalibratedTest, AResultBeyondTheLimitIsExitSixAndAHigherLimitPublishesIt) {
  const std::vector<std::string> strict = {"--max-kld", "0.0000001"};
  const testing::ProcessResult refused = Run("gptq", "4bit", strict);
  EXPECT_EQ(refused.exit_code, 6) << refused.err;
  const json error = json::parse(refused.out);
  EXPECT_EQ(error["error_type"], "ValidationError") << error;
  EXPECT_THAT(error["message"].get<std::string>(), HasSubstr("--max-kld allows 1e-07"));
  EXPECT_FALSE(fs::exists(Output("llama2-spm-sharded-gptq-4bit")));
  const json accepted = Made("gptq", "4bit", {"--max-kld", "5"});
  EXPECT_EQ(accepted["metadata"]["units_reused"], 2);
  EXPECT_GT(accepted["metadata"]["quality"]["kl_divergence"], 1e-7);
}

// What runs out in the middle: the job fails with what it lacks, and goes on from there.
struct Shortage {
  const char *name, *format, *level;
  const char* path;    // written when it strikes, …
  int nth;             // … at this write to it
  const char* action;  // FaultRule::action
  int exit_code;
  const char* error_type;
  int reused;  // layers
};

class ShortageTest : public CalibratedTest, public ::testing::WithParamInterface<Shortage> {};

TEST_P(ShortageTest, LosesNothing) {
  const Shortage& shortage = GetParam();
  testing::ProcessOptions options = sandbox_.options();
  options.environment.merge(testing::FaultEnvironment({.exe = "quantize-worker",
                                                       .call = "write",
                                                       .path = shortage.path,
                                                       .n = shortage.nth,
                                                       .action = shortage.action,
                                                       .mark = sandbox_.path() / "fired"}));
  const auto words = Words(shortage.format, shortage.level);
  const testing::ProcessResult failed =
      testing::Process(testing::Sandbox::Command(words), options).Wait();
  EXPECT_EQ(failed.exit_code, shortage.exit_code) << failed.err;
  const json error = json::parse(failed.out, nullptr, false);
  ASSERT_TRUE(error.is_object()) << failed.out;
  EXPECT_EQ(error["error_type"], shortage.error_type) << error;
  const json again = Made(shortage.format, shortage.level);
  EXPECT_EQ(again["metadata"]["units_reused"], shortage.reused);
  const auto resumed = Contents(sandbox_.work());
  Made(shortage.format, shortage.level, {"--overwrite"});
  EXPECT_EQ(Contents(sandbox_.work()), resumed);
}

constexpr const char* kWeights = "*.part/model.safetensors";

INSTANTIATE_TEST_SUITE_P(
    All, ShortageTest,
    ::testing::Values(
        Shortage{"disk_gptq", "gptq", "4bit", kWeights, 40, "ENOSPC", 1, "DiskFullError", 1},
        Shortage{"disk_awq", "awq", "4bit", kWeights, 45, "ENOSPC", 1, "DiskFullError", 1},
        Shortage{"disk_gguf", "gguf", "IQ2_XXS", "*.walk.tmp", 1, "ENOSPC", 1, "DiskFullError", 0},
        Shortage{"memory_gptq", "gptq", "4bit", kWeights, 40, "no-memory", 5, "OutOfMemoryError",
                 1},
        Shortage{"memory_awq", "awq", "4bit", kWeights, 45, "no-memory", 5, "OutOfMemoryError", 1},
        Shortage{"memory_gguf", "gguf", "IQ2_XXS", "*.walk.tmp", 1, "no-memory", 5,
                 "OutOfMemoryError", 0}),
    [](const auto& param) { return std::string(param.param.name); });

// The exchange of the old output for the new one: on whichever side of it the worker dies, the name
// stands for a whole output, and nothing else is left in the end.
class CalibratedReplaceTest
    : public CalibratedTest,
      public ::testing::WithParamInterface<std::pair<const char*, const char*>> {};

TEST_P(CalibratedReplaceTest, AKillLeavesOneOfTheTwo) {
  const auto [call, path] = GetParam();
  const std::string name = "llama2-spm-sharded-gptq-4bit";
  const std::vector<std::string> others = {"--calibration-samples", "3", "--overwrite"};
  Made("gptq", "4bit", others);
  const auto wanted = Contents(Output(name));
  Made("gptq", "4bit", {"--overwrite"});
  const auto old = Contents(Output(name));
  ASSERT_NE(old, wanted);
  // The fault is for a daemon that is yet to start.
  ASSERT_EQ(sandbox_.Run({"server", "stop"}).exit_code, 0);
  ASSERT_TRUE(sandbox_.GoneSoon("quantized"));
  const auto client = StartAndHold("gptq", call, path, 1, others);
  EXPECT_EQ(Contents(Output(name)), std::string(call) == "rename" ? old : wanted);
  SignalWorkers(SIGKILL);
  const testing::ProcessResult result = client->Wait();
  ASSERT_EQ(result.exit_code, 0) << result.err << result.out;
  EXPECT_EQ(Contents(Output(name)), wanted);
  EXPECT_EQ(testing::FilesBelow(sandbox_.work()).size(), wanted.size() + 1);
}

// What is removed from the old output is named as it is in its folder.
INSTANTIATE_TEST_SUITE_P(All, CalibratedReplaceTest,
                         ::testing::Values(std::pair("rename", "*-gptq-4bit.part"),
                                           std::pair("unlink", "model.safetensors"),
                                           std::pair("unlink", "*/journal")),
                         [](const auto& param) { return std::to_string(param.index); });

}  // namespace
}  // namespace quantized
