// The program quantize-fetch, as its users run it.
#include <sys/stat.h>

#include <fstream>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>
#include <thread>

#include "daemon/hub/hub_test.h"
#include "tests/support/process.h"
#include "tests/support/sandbox.h"

namespace quantized {
namespace {

using nlohmann::json;
using testing::BinDir;
using ::testing::HasSubstr;
using testing::HubPort;
using testing::HubRequest;
using ::testing::Not;
using testing::Process;
using testing::ProcessResult;

class ProgramTest : public HubTest {
 protected:
  ProgramTest() : model_(Model("me/model")) { server_.Add(model_); }

  testing::ProcessOptions Options() const {
    return {.environment = {{"HF_ENDPOINT", server_.endpoint()},
                            {"HOME", folder_.path()},
                            {"HF_HOME", folder_.path() / "theirs"},
                            {"HF_TOKEN", ""},
                            {"HF_HUB_OFFLINE", ""},
                            {"HF_HUB_CACHE", ""},
                            {"HF_TOKEN_PATH", ""},
                            {"HUGGING_FACE_HUB_TOKEN", ""},
                            {"HUGGINGFACE_HUB_CACHE", ""},
                            {"TRANSFORMERS_OFFLINE", ""},
                            {"http_proxy", ""},
                            {"REQUESTS_CA_BUNDLE", ""},
                            {"CURL_CA_BUNDLE", ""},
                            {"SSL_CERT_FILE", ""},
                            {"SSL_CERT_DIR", ""},
                            {"LLM_QUANTIZE_CACHE", folder_.path() / "ours"}}};
  }

  static std::vector<std::string> Command(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), BinDir() / "quantize-fetch");
    arguments.insert(arguments.end(), {"--chunk-bytes", std::to_string(kChunkBytes)});
    return arguments;
  }

  json Run(const std::vector<std::string>& arguments, int exit_code = 0) {
    const ProcessResult result = testing::RunProcess(Command(arguments), Options());
    EXPECT_EQ(result.exit_code, exit_code) << result.out << result.err;
    return json::parse(result.out, nullptr, false);
  }

  // How often each byte of the file with `hash` was asked for.
  std::map<uint64_t, int> TimesAsked(const std::string& hash) const {
    std::map<uint64_t, int> times;
    for (const HubRequest& request : server_.requests()) {
      if (request.port != HubPort::kCdn || request.path.find(hash) == std::string::npos) continue;
      for (uint64_t at = request.range->first; at < request.range->second; at += kChunkBytes) {
        ++times[at];
      }
    }
    return times;
  }

  testing::HubRepository model_;
};

TEST_F(ProgramTest, FetchesAndTells) {
  const json headers = Run({"headers", "me/model", folder_.path() / "x"});
  EXPECT_EQ(headers["files"], 4);
  const json fetched = Run({"fetch", "me/model"});
  EXPECT_EQ(headers["missing_bytes"], fetched["size_bytes"]);
  EXPECT_EQ(Run({"headers", "me/model", folder_.path() / "x"})["missing_bytes"], 0);
  EXPECT_EQ(fetched["status"], "success");
  EXPECT_EQ(fetched["commit"], model_.Commit());
  ExpectWhole(fetched["path"].get<std::string>(), model_);
  EXPECT_EQ(Run({"resolve", "me/model"})["files"].size(), model_.files.size());
  EXPECT_EQ(Run({"cache", "list"})["models"][0]["model_name"], "me/model");
  EXPECT_EQ(Run({"cache", "verify"})["files"], 6);
  EXPECT_EQ(Run({"cache", "prune", "--older-than", "7"})["files"], 0);
}

TEST_F(ProgramTest, TheCareOfTheCacheNeedsNoToken) {
  auto options = Options();
  options.environment["SSL_CERT_DIR"] = "/no/a:/no/b";
  options.environment["HF_TOKEN"] = "hf a";
  for (const std::string word : {"list", "verify", "prune"}) {
    EXPECT_EQ(testing::RunProcess(Command({"cache", word}), options).exit_code, 0) << word;
  }
  EXPECT_EQ(testing::RunProcess(Command({"pin", "me/model"}), options).exit_code, 2);
}

TEST_F(ProgramTest, FailsAsTheContractSays) {
  const json missing = Run({"fetch", "invalid-model"}, 3);
  EXPECT_EQ(missing["status"], "error");
  EXPECT_EQ(missing["error_code"], 3);
  EXPECT_EQ(missing["error_type"], "ModelNotFoundError");
  EXPECT_EQ(missing["message"], "Model 'invalid-model' not found on Hugging Face Hub");
  EXPECT_EQ(missing["suggestion"], "Check the model name or provide a local path");
  Run({"fetch", "../evil"}, 3);
  for (const std::vector<std::string>& arguments : {std::vector<std::string>{"fetch"},
                                                    {"fly", "me/model"},
                                                    {"fetch", "me/model", "--token", "x"},
                                                    {"fetch", "me/model", "--connections", "0"},
                                                    {"cache"},
                                                    {"fetch", "me/model", "--token-fd"}}) {
    EXPECT_EQ(Run(arguments, 2)["error_type"], "InvalidArgumentError");
  }
}

TEST_F(ProgramTest, AHubThatCannotBeReached) {
  auto refused = Options(), unknown = Options();
  refused.environment["HF_ENDPOINT"] = "http://127.0.0.1:9";
  unknown.environment["HF_ENDPOINT"] = "http://nothere.invalid";
  Process first(Command({"pin", "me/model"}), refused);
  Process second(Command({"pin", "me/model"}), unknown);
  for (Process* process : {&first, &second}) {
    const ProcessResult result = process->Wait();
    EXPECT_EQ(result.exit_code, 1) << result.err;
    const json failure = json::parse(result.out, nullptr, false);
    EXPECT_EQ(failure["status"], "error");
    EXPECT_THAT(failure["message"].get<std::string>(), HasSubstr("after 5 attempts: cannot read"));
  }
  // A copy does.
  const json fetched = Run({"fetch", "me/model"});
  const ProcessResult copy = testing::RunProcess(Command({"fetch", "me/model"}), unknown);
  ASSERT_EQ(copy.exit_code, 0) << copy.out << copy.err;
  EXPECT_EQ(json::parse(copy.out)["path"], fetched["path"]);
  EXPECT_THAT(copy.err, HasSubstr("is taken from the cache"));
}

// Each connection has most of a chunk, and then nothing comes, so that the kill meets as much under
// way as it can.
TEST_F(ProgramTest, AKillCostsAtMostOneChunk) {
  constexpr size_t kConnections = 4;
  constexpr uint64_t kStallAt = kChunkBytes - 1000;
  const testing::HubFile& file = model_.files["model-00001-of-00002.safetensors"];
  const std::filesystem::path incomplete =
      cache() / "models--me--model/blobs" / (file.sha256 + ".chunks.incomplete");
  const auto missing_bytes = [&] {
    const std::string there = Contents(incomplete);
    if (there.size() != file.bytes.size()) return file.bytes.size();
    // Some bytes are 0 in the file, too, as in what was not written.
    return static_cast<size_t>(std::inner_product(there.begin(), there.end(), file.bytes.begin(),
                                                  int64_t{0}, std::plus<>(),
                                                  [](char a, char b) { return a != b ? 1 : 0; }));
  };
  // So few that the last chunk, which is short, is not among those that stall.
  for (const uint64_t skip : {1, 4}) {
    SCOPED_TRACE(skip);
    ASSERT_TRUE(RemoveAll(cache()).ok());
    server_.ForgetRequests();
    server_.Fail({.kind = testing::HubFaultKind::kStall,
                  .path_part = file.sha256,
                  .times = kConnections,
                  .at_byte = kStallAt,
                  .skip = skip});
    {
      Process process(Command({"fetch", "me/model"}), Options());
      const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(1);
      while (missing_bytes() > kWeightBytes - skip * kChunkBytes - kConnections * kStallAt) {
        ASSERT_LT(std::chrono::steady_clock::now(), deadline);
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
      }
      process.Signal(SIGKILL);
      EXPECT_EQ(process.Wait().signal, SIGKILL);
    }
    server_.StopFailing();
    const size_t missing = missing_bytes();
    testing::HubServer fresh;  // whose requests are those after the kill
    fresh.Add(model_);
    auto options = Options();
    options.environment["HF_ENDPOINT"] = fresh.endpoint();
    const ProcessResult result = testing::RunProcess(Command({"fetch", "me/model"}), options);
    ASSERT_EQ(result.exit_code, 0) << result.out;
    ExpectWhole(json::parse(result.out)["path"].get<std::string>(), model_);
    size_t asked = 0;
    for (const HubRequest& request : fresh.requests()) {
      if (request.port == HubPort::kCdn && request.path.find(file.sha256) != std::string::npos) {
        asked += request.range->second - request.range->first;
      }
    }
    EXPECT_GE(asked, missing);
    EXPECT_LE(asked, missing + kChunkBytes);
  }
}

TEST_F(ProgramTest, SeveralProcessesShareTheWork) {
  std::vector<std::unique_ptr<Process>> processes;
  for (int i = 0; i < 4; ++i) {
    processes.push_back(std::make_unique<Process>(Command({"fetch", "me/model"}), Options()));
  }
  for (auto& process : processes) {
    const ProcessResult result = process->Wait();
    ASSERT_EQ(result.exit_code, 0) << result.out << result.err;
    ExpectWhole(json::parse(result.out)["path"].get<std::string>(), model_);
  }
  for (const std::string name :
       {"model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"}) {
    for (const auto& [at, times] : TimesAsked(model_.files[name].sha256)) EXPECT_EQ(times, 1) << at;
  }
}

TEST_F(ProgramTest, SigtermStopsIt) {
  server_.Fail({.kind = testing::HubFaultKind::kStall, .times = 100});
  Process process(Command({"fetch", "me/model"}), Options());
  ASSERT_TRUE(server_.WaitForRequests("/lfs/", 1));
  process.Signal(SIGTERM);
  const ProcessResult result = process.Wait();
  EXPECT_EQ(result.exit_code, 9);
  EXPECT_EQ(json::parse(result.out)["error_type"], "CancelledError");
}

// A token that nobody else has: wherever it turned up, it would be found.
TEST_F(ProgramTest, TheTokenGoesToTheHubOnly) {
  constexpr char kCanary[] = "hf_CanaryCanaryCanary";
  model_.gated = true;
  server_.Add(model_);
  server_.Accept(kCanary);
  server_.Fail({.kind = testing::HubFaultKind::kServerError, .times = 1});
  server_.Fail({.kind = testing::HubFaultKind::kStall, .times = 1, .at_byte = 10, .skip = 8});
  auto options = Options();
  options.environment["HF_TOKEN"] = kCanary;
  Process process(Command({"fetch", "me/model", "--connections", "2"}), options);
  ASSERT_TRUE(server_.WaitForRequests("/lfs/", 9));
  const std::string proc = "/proc/" + std::to_string(process.pid());
  std::stringstream command_line, limits;
  command_line << std::ifstream(proc + "/cmdline").rdbuf();
  limits << std::ifstream(proc + "/limits").rdbuf();
  EXPECT_THAT(command_line.str(), HasSubstr("quantize-fetch"));
  EXPECT_THAT(command_line.str(), Not(HasSubstr(kCanary)));
  EXPECT_THAT(limits.str(), ::testing::ContainsRegex("Max core file size +0 +0"));
  process.Signal(SIGTERM);
  const ProcessResult stopped = process.Wait();
  server_.StopFailing();
  const ProcessResult fetched = testing::RunProcess(Command({"fetch", "me/model"}), options);
  ASSERT_EQ(fetched.exit_code, 0) << fetched.out;
  options.environment["HF_TOKEN"] = "hf_CanaryCanaryCanary-of-another";
  const ProcessResult refused = testing::RunProcess(Command({"resolve", "me/model"}), options);
  EXPECT_EQ(refused.exit_code, 4);
  for (const ProcessResult* result : {&stopped, &fetched, &refused}) {
    EXPECT_THAT(result->out, Not(HasSubstr(kCanary)));
    EXPECT_THAT(result->err, Not(HasSubstr(kCanary)));
    EXPECT_THAT(result->out + result->err, Not(HasSubstr("very-secret-signature")));
  }
  for (const std::string& file : testing::FilesBelow(folder_.path())) {
    EXPECT_THAT(file, Not(HasSubstr(kCanary)));
    EXPECT_THAT(Contents(folder_.path() / file), Not(HasSubstr(kCanary))) << file;
  }
  bool seen = false;
  for (const HubRequest& request : server_.requests()) {
    for (const auto& [name, value] : request.headers) {
      if (value.find(kCanary) == std::string::npos) continue;
      seen = true;
      EXPECT_EQ(request.port, HubPort::kHub);
      EXPECT_EQ(name, "authorization");
    }
    EXPECT_THAT(request.path + request.query, Not(HasSubstr(kCanary)));
  }
  EXPECT_TRUE(seen);
}

// A server that says what it was sent.
TEST_F(ProgramTest, ATokenThatComesBackIsNotTold) {
  constexpr char kCanary[] = "hf_CanaryCanaryCanary";
  auto options = Options();
  options.environment["HF_TOKEN"] = kCanary;
  const std::string long_start(290, 'x');
  for (const std::string& answer :
       {absl::StrCat("HTTP/1.1 400 Bad Request\r\nX-Error-Message: you are ", kCanary,
                     "\r\nContent-Length: 0\r\n\r\n"),
        absl::StrCat("HTTP/1.1 400 Bad Request\r\nX-Error-Message: ", long_start, kCanary,
                     "\r\nContent-Length: 0\r\n\r\n"),
        absl::StrCat("HTTP/1.1 302 Found\r\nLocation: ", server_.cdn(), "/", kCanary,
                     "\r\nContent-Length: 0\r\n\r\n")}) {
    server_.Override([answer](const HubRequest& request) -> std::optional<std::string> {
      if (request.port == HubPort::kHub) return answer;
      return "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
    });
    const ProcessResult result = testing::RunProcess(Command({"pin", "me/model"}), options);
    EXPECT_EQ(result.exit_code, 1) << result.out;
    EXPECT_THAT(result.out, HasSubstr("[token]"));
    EXPECT_THAT(result.out + result.err, Not(HasSubstr("hf_Canary")));
  }
}

TEST_F(ProgramTest, OverHttpsOnlyWithACertificateThatIsTrusted) {
  testing::HubServer secure(testing::HubScheme::kHttps);
  secure.Add(model_);
  auto options = Options();
  options.environment["HF_ENDPOINT"] = secure.endpoint();
  const std::vector<std::string> command = Command({"fetch", "me/model"});
  const ProcessResult distrusted = testing::RunProcess(command, options);
  EXPECT_EQ(distrusted.exit_code, 1);
  EXPECT_THAT(distrusted.out, HasSubstr("certificate"));
  EXPECT_TRUE(secure.requests().empty());

  const auto bundle = folder_.path() / "ca.pem";
  std::ofstream(bundle) << secure.certificate();
  options.environment["SSL_CERT_FILE"] = bundle;
  const ProcessResult fetched = testing::RunProcess(command, options);
  ASSERT_EQ(fetched.exit_code, 0) << fetched.out;
  ExpectWhole(json::parse(fetched.out)["path"].get<std::string>(), model_);
}

TEST_F(ProgramTest, TheTokenOfADescriptor) {
  model_.gated = true;
  server_.Add(model_);
  server_.Accept("hf_by_descriptor");
  const std::string command = BinDir() / "quantize-fetch";
  const ProcessResult result = testing::RunProcess(
      {"sh", "-c", "exec \"$0\" fetch me/model --token-fd 7 7<\"$HOME/secret\"", command}, [&] {
        std::ofstream(folder_.path() / "secret") << "hf_by_descriptor\n";
        return Options();
      }());
  EXPECT_EQ(result.exit_code, 0) << result.out;
}

}  // namespace
}  // namespace quantized
