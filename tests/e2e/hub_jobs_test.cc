// Jobs whose model is one of the Hugging Face Hub: what comes out is what the directory gives,
// whoever is killed while the model comes; and the token goes where it must and nowhere else.
#include <signal.h>

#include <functional>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/e2e/hub_user.h"
#include "tests/support/fault_shim.h"

namespace quantized {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::HasSubstr;
using testing::HubFaultKind;
using testing::HubUser;
using ::testing::IsEmpty;
using ::testing::Not;
using testing::Process;
using testing::ProcessOptions;
using testing::ProcessResult;
using testing::Sandbox;

constexpr char kLastShard[] = "model-00003-of-00003.safetensors";

class HubJobsTest : public ::testing::Test {
 protected:
  HubJobsTest() : model_(HubUser::Model()) {}

  // `quantize MODEL FORMAT -q LEVEL …` into the folder `output`.
  static std::vector<std::string> Quantize(const std::string& model, const std::string& output,
                                           std::vector<std::string> more = {"gguf", "-q",
                                                                            "Q4_K_M"}) {
    std::vector<std::string> arguments = {"--format", "json", "quantize", model, "-o", output};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }

  // The model's directory, under its name.
  void PutDirectory() { testing::CopyModel(testing::TinyModel(), user_.sandbox.work() / "tiny"); }

  uint64_t DirectoryBytes() const {
    uint64_t bytes = 0;
    for (const auto& entry : fs::recursive_directory_iterator(user_.sandbox.work() / "tiny")) {
      if (entry.is_regular_file()) bytes += entry.file_size();
    }
    return bytes;
  }

  static json Object(const ProcessResult& result, int exit_code = 0) {
    EXPECT_EQ(result.exit_code, exit_code) << result.out << result.err;
    return json::parse(result.out, nullptr, false);
  }

  // What a file says, apart from the times of the source's files, which fingerprints go by.
  static std::string Contents(const fs::path& path) {
    std::string text = testing::ReadAll(path);
    if (path.filename() != "llm-quantize.json") return text;
    json object = json::parse(text);
    object.erase("fingerprint");
    object.erase("source_fingerprint");
    return object.dump();
  }

  // Every file of both folders, byte for byte.
  void ExpectSame(const std::string& one, const std::string& other) const {
    const fs::path work = user_.sandbox.work();
    const std::vector<std::string> files = testing::FilesBelow(work / one);
    EXPECT_FALSE(files.empty());
    EXPECT_EQ(files, testing::FilesBelow(work / other));
    for (const std::string& file : files) {
      EXPECT_TRUE(Contents(work / one / file) == Contents(work / other / file)) << file;
    }
  }

  // The directory's result, for comparison.
  void QuantizeDirectory() {
    PutDirectory();
    Object(user_.Run(Quantize("./tiny", "local")));
  }

  // Whoever asks for the last shard gets `times` times nothing; the others come.
  void StallLastShard(int times = 1) {
    user_.server.Fail({.kind = HubFaultKind::kStall,
                       .path_part = model_.files.at(kLastShard).sha256,
                       .times = times});
  }

  // All but the last shard is in the cache, which is waited for.
  void AwaitStall() {
    ASSERT_TRUE(user_.server.WaitForRequests(model_.files.at(kLastShard).sha256, 1));
    ASSERT_TRUE(testing::WaitUntil([&] {
      return std::ranges::all_of(model_.files, [&](const auto& entry) {
        return entry.first == kLastShard ||
               fs::exists(user_.cache() / "models--me--tiny/blobs" / entry.second.hash());
      });
    }));
  }

  // Kills what `victim` finds when the last shard is waited for; the client must not notice.
  void KillWhileDownloading(const std::string& victim, const ProcessOptions& options) {
    QuantizeDirectory();
    StallLastShard();
    Process client(Sandbox::Command(Quantize("me/tiny", "hub")), options);
    AwaitStall();
    user_.server.ForgetRequests();
    const auto found = user_.sandbox.Processes(victim);
    ASSERT_EQ(found.size(), 1u);
    kill(found[0], SIGKILL);
    const json result = Object(client.Wait());
    EXPECT_EQ(result["metadata"]["attempts"], 2);
    ExpectSame("local", "hub");
    for (const testing::HubRequest& request : user_.server.requests()) {
      if (request.path.find("/lfs/") == std::string::npos) continue;
      EXPECT_THAT(request.path, HasSubstr(model_.files.at(kLastShard).sha256))
          << "what was there is fetched again";
    }
    EXPECT_TRUE(user_.sandbox.GoneSoon("quantize-fetch"));
  }

  void MakeGated(const std::string& token) {
    model_.gated = true;
    user_.server.Add(model_);
    user_.server.Accept(token);
  }

  HubUser user_;
  testing::HubRepository model_;
};

TEST_F(HubJobsTest, MakesTheFileThatTheDirectoryGives) {
  QuantizeDirectory();
  const ProcessResult hub = user_.Run(Quantize("me/tiny", "hub"));
  const json result = Object(hub);
  EXPECT_EQ(result["output_path"], (user_.sandbox.work() / "hub/tiny-Q4_K_M.gguf").string());
  ExpectSame("local", "hub");
  EXPECT_THAT(hub.err, HasSubstr("[llm-quantize] Downloading model: me/tiny\n"
                                 "Downloading "));
  EXPECT_THAT(hub.err, HasSubstr("100% 3.5 MB/3.5 MB"));
  EXPECT_THAT(hub.err, HasSubstr("[llm-quantize] Loading model: me/tiny\n"
                                 "[llm-quantize] Architecture: LlamaForCausalLM (2 layers)\n"));

  // What is there is not fetched again, also where the Hub is not asked at all.
  auto options = user_.options();
  for (const std::string offline : {"", "1"}) {
    user_.server.ForgetRequests();
    options.environment["HF_HUB_OFFLINE"] = offline;
    const ProcessResult again =
        RunProcess(Sandbox::Command(Quantize("me/tiny@main", "again" + offline)), options);
    Object(again);
    EXPECT_THAT(again.err, Not(HasSubstr("Downloading")));
    ExpectSame("local", "again" + offline);
    EXPECT_EQ(user_.server.requests().size(), offline.empty() ? 1u : 0u);
  }
}

TEST_F(HubJobsTest, MakesTheFolderThatTheDirectoryGives) {
  PutDirectory();
  const std::vector<std::string> gptq = {
      "gptq", "-q", "4bit", "--group-size", "32", "--calibration-samples", "4", "--sequence-length",
      "64"};
  const json local = Object(user_.Run(Quantize("./tiny", "local", gptq)));
  const json hub = Object(user_.Run(Quantize("me/tiny", "hub", gptq)));
  EXPECT_EQ(hub["output_path"], (user_.sandbox.work() / "hub/tiny-gptq-4bit").string());
  EXPECT_EQ(hub["metadata"]["mean_module_error"], local["metadata"]["mean_module_error"]);
  // The card alone knows where the model is from.
  const fs::path work = user_.sandbox.work();
  const std::string card = "tiny-gptq-4bit/README.md";
  EXPECT_THAT(testing::ReadAll(work / "hub" / card),
              HasSubstr("base_model: \"me/tiny\"\nbase_model_relation: quantized\n"));
  EXPECT_THAT(testing::ReadAll(work / "local" / card), Not(HasSubstr("base_model")));
  for (const char* folder : {"local", "hub"}) fs::remove(work / folder / card);
  ExpectSame("local", "hub");
}

TEST_F(HubJobsTest, PlansWithoutFetchingTheWeights) {
  PutDirectory();
  for (const std::vector<std::string>& format :
       {std::vector<std::string>{"gguf", "-q", "Q4_K_M,Q8_0", "--plan"},
        {"awq", "-q", "4bit", "--plan"}}) {
    json local = Object(user_.Run(Quantize("./tiny", ".", format)));
    json hub = Object(user_.Run(Quantize("me/tiny", ".", format)));
    EXPECT_EQ(hub["model_name"], "me/tiny");
    EXPECT_EQ(hub["outputs"], local["outputs"]);
    EXPECT_EQ(hub["memory_needed_bytes"], local["memory_needed_bytes"]);
    EXPECT_EQ(hub["download_bytes"], DirectoryBytes());
  }
  EXPECT_FALSE(fs::exists(user_.cache()));
  EXPECT_THAT(testing::FilesBelow(user_.sandbox.path() / "tmp"), IsEmpty());
}

// The certificate is named by a path that means nothing in the daemon's folder.
TEST_F(HubJobsTest, TrustsTheCertificatesOfTheUser) {
  testing::HubServer secure(testing::HubScheme::kHttps);
  secure.Add(model_);
  testing::WriteAll(user_.sandbox.work() / "ca.pem", secure.certificate());
  auto options = user_.options();
  options.environment["HF_ENDPOINT"] = secure.endpoint();
  options.environment["SSL_CERT_FILE"] = "./ca.pem";
  Object(RunProcess(Sandbox::Command(Quantize("me/tiny", "hub")), options));
}

TEST_F(HubJobsTest, WhatCannotBeFetchedIsToldBeforeThereIsAJob) {
  const json missing = Object(user_.Run(Quantize("invalid-model", ".")), 3);
  EXPECT_EQ(missing["message"], "Model 'invalid-model' not found on Hugging Face Hub");
  EXPECT_EQ(missing["suggestion"], "Check the model name or provide a local path");
  MakeGated("hf_good");
  EXPECT_EQ(Object(user_.Run(Quantize("me/tiny", ".")), 4)["error_type"],
            "AuthenticationRequiredError");
  EXPECT_THAT(user_.sandbox.Processes("quantized"), IsEmpty());
}

TEST_F(HubJobsTest, AKilledFetcherGoesOn) {
  KillWhileDownloading("quantize-fetch", user_.options());
}

// The model needs the token, which dies with the daemon; the client sends it again.
TEST_F(HubJobsTest, AKilledDaemonGoesOn) {
  MakeGated("hf_good");
  auto options = user_.options();
  options.environment["HF_TOKEN"] = "hf_good";
  KillWhileDownloading("quantized", options);
}

TEST_F(HubJobsTest, CtrlCEndsADownload) {
  StallLastShard();
  Process client(Sandbox::Command(Quantize("me/tiny", "hub")), user_.options());
  AwaitStall();
  client.Signal(SIGINT);
  const ProcessResult result = client.Wait();
  EXPECT_EQ(result.signal, SIGINT);
  EXPECT_THAT(result.err, HasSubstr("llm-quantize quantize me/tiny gguf"));
  EXPECT_TRUE(user_.sandbox.GoneSoon("quantize-fetch"));
}

TEST_F(HubJobsTest, ADownloadThatFailsEndsTheJobWithItsError) {
  model_.files.at(kLastShard).sha256 = std::string(64, 'a');
  user_.server.Add(model_);
  const json failed = Object(user_.Run(Quantize("me/tiny", "hub")), 6);
  EXPECT_EQ(failed["error_type"], "ValidationError");
  EXPECT_THAT(failed["message"], HasSubstr(kLastShard));
}

// A token that nobody else has: wherever it turned up, it would be found.
class HubTokenTest : public HubJobsTest {
 protected:
  static constexpr char kCanary[] = "hf_CanaryCanaryCanary";

  HubTokenTest() : options_(user_.options()) {
    MakeGated(kCanary);
    options_.environment["HF_TOKEN"] = kCanary;
  }

  // Of a process of this user's, stopped or not.
  void ExpectNoTokenInProcess(const std::string& program) const {
    const auto found = user_.sandbox.Processes(program);
    ASSERT_EQ(found.size(), 1u) << program;
    for (const std::string name : {"environ", "cmdline"}) {
      const std::string text = testing::ReadAll("/proc/" + std::to_string(found[0]) + "/" + name);
      // Whose memory is closed shows its environment to a mighty root only.
      EXPECT_FALSE(text.empty() && name == "cmdline");
      EXPECT_THAT(text, Not(HasSubstr(kCanary))) << program << " " << name;
    }
  }

  ProcessOptions options_;
};

TEST_F(HubTokenTest, GoesToTheHubOnly) {
  options_.environment.merge(testing::FaultEnvironment({.exe = "quantize-worker",
                                                        .call = "open",
                                                        .path = "*/config.json",
                                                        .action = "stop",
                                                        .mark = user_.sandbox.path() / "fired"}));
  StallLastShard();
  std::vector<std::string> command = Sandbox::Command(Quantize("me/tiny", "hub"));
  command.insert(command.begin() + 1, {"--verbosity", "debug"});
  Process client(command, options_);
  AwaitStall();
  ExpectNoTokenInProcess("quantize-fetch");
  ExpectNoTokenInProcess("quantized");
  kill(user_.sandbox.Processes("quantize-fetch")[0], SIGKILL);
  pid_t worker = 0;
  ASSERT_TRUE(testing::WaitUntil([&] {
    const auto workers = user_.sandbox.Processes("quantize-worker");
    if (workers.empty() || testing::ProcessState(workers[0]) != 'T') return false;
    worker = workers[0];
    return true;
  }));
  ExpectNoTokenInProcess("quantize-worker");
  kill(worker, SIGCONT);

  std::vector<ProcessResult> results = {client.Wait()};
  const std::string id = Object(results[0])["metadata"]["job_id"];
  results.push_back(user_.Run({"--format", "json", "jobs", "show", id}));
  results.push_back(user_.Run({"jobs", "show", id}));
  for (const char* attempt : {"1", "2"}) {
    results.push_back(user_.Run({"jobs", "logs", id, "--attempt", attempt}));
    EXPECT_THAT(results.back().out, HasSubstr("quantize-fetch"));
  }
  for (const ProcessResult& result : results) {
    EXPECT_EQ(result.exit_code, 0) << result.err;
    EXPECT_THAT(result.out + result.err, Not(HasSubstr(kCanary)));
  }
  // The store with its log of writes, logs, cache, outputs.
  std::vector<std::string> files = testing::FilesBelow(user_.sandbox.path());
  EXPECT_THAT(files, ::testing::Contains(HasSubstr("-wal")));
  for (const std::string& file : files) {
    if (fs::is_socket(user_.sandbox.path() / file)) continue;
    EXPECT_THAT(testing::ReadAll(user_.sandbox.path() / file), Not(HasSubstr(kCanary))) << file;
  }
  bool seen = false;
  for (const testing::HubRequest& request : user_.server.requests()) {
    for (const auto& [name, value] : request.headers) {
      if (value.find(kCanary) == std::string::npos) continue;
      seen = true;
      EXPECT_EQ(request.port, testing::HubPort::kHub);
    }
  }
  EXPECT_TRUE(seen);
}

TEST_F(HubTokenTest, OfAFileIsAsGood) {
  options_.environment["HF_TOKEN"] = "";
  options_.environment["HF_HOME"] = user_.sandbox.path() / "theirs";
  fs::create_directory(user_.sandbox.path() / "theirs");
  testing::WriteAll(user_.sandbox.path() / "theirs/token", std::string(kCanary) + "\n");
  Object(RunProcess(Sandbox::Command(Quantize("me/tiny", "hub")), options_));
}

}  // namespace
}  // namespace quantized
