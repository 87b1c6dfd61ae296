// What needs no job: `info org/name` and the care of the cache, with a Hub on the loopback.
#include <signal.h>

#include <fstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/e2e/hub_user.h"
#include "tests/support/fault_shim.h"

namespace quantized {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using testing::HubUser;
using ::testing::IsEmpty;
using ::testing::Not;
using testing::ProcessResult;

class HubCommandsTest : public ::testing::Test {
 protected:
  json RunJson(std::vector<std::string> arguments, int exit_code = 0) {
    arguments.insert(arguments.begin(), {"--format", "json"});
    const ProcessResult result = user_.Run(arguments);
    EXPECT_EQ(result.exit_code, exit_code) << result.out << result.err;
    return json::parse(result.out, nullptr, false);
  }

  // Fetches the model, by hand.
  json Fetch(const std::string& id = HubUser::kModel) {
    const ProcessResult result =
        RunProcess({testing::BinDir() / "quantize-fetch", "fetch", id}, user_.options());
    EXPECT_EQ(result.exit_code, 0) << result.out;
    return json::parse(result.out, nullptr, false);
  }

  HubUser user_;
};

TEST_F(HubCommandsTest, InfoTellsWhatItTellsOfTheDirectory) {
  json local = RunJson({"info", testing::TinyModel()});
  EXPECT_THAT(user_.server.requests(), IsEmpty());
  for (const std::string id : {"me/tiny", "me/tiny@main"}) {
    local["model_name"] = id;
    EXPECT_EQ(RunJson({"info", id}), local);
  }
  const ProcessResult human = user_.Run({"info", "me/tiny"});
  EXPECT_THAT(human.out, HasSubstr("Model: me/tiny\nArchitecture: LlamaForCausalLM\n"));
  EXPECT_THAT(human.err, IsEmpty());
  // Nothing stays, neither in the cache nor beside it, and no daemon was needed.
  EXPECT_THAT(testing::FilesBelow(user_.sandbox.path() / "tmp"), IsEmpty());
  EXPECT_THAT(testing::FilesBelow(user_.sandbox.path() / "home"), IsEmpty());
  EXPECT_THAT(user_.sandbox.Processes("quantized"), IsEmpty());
  uint64_t asked_bytes = 0;
  for (const testing::HubRequest& request : user_.server.requests()) {
    if (request.path.ends_with(".safetensors")) {
      asked_bytes += request.range->second - request.range->first;
    }
  }
  EXPECT_LT(asked_bytes, 1'000'000) << "the weights have 3.4 MB, and were looked at thrice";
}

TEST_F(HubCommandsTest, InfoTakesAModelThatACacheHolds) {
  Fetch();
  user_.server.ForgetRequests();
  auto options = user_.options();
  options.environment["HF_HUB_OFFLINE"] = "1";
  const ProcessResult result = RunProcess(testing::Sandbox::Command({"info", "me/tiny"}), options);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("Model: me/tiny\n"));
  EXPECT_THAT(user_.server.requests(), IsEmpty());
}

TEST_F(HubCommandsTest, APathThatIsThereIsAPath) {
  std::filesystem::create_directories(user_.sandbox.work() / "me");
  testing::CopyModel(testing::TinyModel(), user_.sandbox.work() / "me/tiny");
  EXPECT_EQ(RunJson({"info", "me/tiny"})["model_name"], "tiny");
  EXPECT_THAT(user_.server.requests(), IsEmpty());
}

TEST_F(HubCommandsTest, WhatTheHubDoesNotHaveIsNotFound) {
  const json bare = RunJson({"info", "invalid-model"}, 3);
  EXPECT_EQ(bare["error_type"], "ModelNotFoundError");
  EXPECT_EQ(bare["message"], "Model 'invalid-model' not found on Hugging Face Hub");
  EXPECT_EQ(bare["suggestion"], "Check the model name or provide a local path");
  EXPECT_EQ(RunJson({"info", "me/missing"}, 3)["message"],
            "Model 'me/missing' not found on Hugging Face Hub");
  EXPECT_THAT(RunJson({"info", "me/tiny@no-such-branch"}, 3)["message"],
              HasSubstr("Revision 'no-such-branch'"));
  EXPECT_THAT(RunJson({"info", "me--you/tiny"}, 3)["message"],
              HasSubstr("is no model of the Hugging Face Hub"));
}

TEST_F(HubCommandsTest, WhatIsNoPathIsSaidToBeTakenForAModelOfTheHub) {
  for (const std::vector<std::string>& options :
       {std::vector<std::string>{"--verify"}, {"--against", testing::TinyModel()}}) {
    std::vector<std::string> words = {"info", "nothere/x"};
    words.insert(words.end(), options.begin(), options.end());
    const json error = RunJson(words, 2);
    EXPECT_EQ(error["message"],
              "'nothere/x' is no path here, so it is taken for a model of the Hugging Face Hub, "
              "whose weights info does not fetch; " +
                  options[0] + " reads them");
    EXPECT_THAT(error["suggestion"], HasSubstr("Check the path"));
  }
  EXPECT_THAT(user_.server.requests(), IsEmpty());
}

TEST_F(HubCommandsTest, WhoMayNotReadAModelIsToldSo) {
  testing::HubRepository gated = HubUser::Model();
  gated.gated = true;
  user_.server.Add(gated);
  user_.server.Accept("hf_good");
  const json refused = RunJson({"info", "me/tiny"}, 4);
  EXPECT_EQ(refused["error_type"], "AuthenticationRequiredError");
  EXPECT_THAT(refused["message"], HasSubstr("'me/tiny' is gated"));
  EXPECT_THAT(refused["suggestion"], HasSubstr("HF_TOKEN"));
  auto options = user_.options();
  for (const auto& [token, exit_code] : {std::pair("hf_bad", 4), std::pair("hf_good", 0)}) {
    options.environment["HF_TOKEN"] = token;
    EXPECT_EQ(RunProcess(testing::Sandbox::Command({"info", "me/tiny"}), options).exit_code,
              exit_code);
  }
}

TEST_F(HubCommandsTest, AModelThatBecamePrivateIsNoMissingOne) {
  testing::HubRepository hidden = HubUser::Model();
  hidden.is_private = true;
  user_.server.Add(hidden);
  const json unknown = RunJson({"info", "me/tiny"}, 3);
  EXPECT_THAT(unknown["suggestion"], HasSubstr("for a private model, set HF_TOKEN"));
  user_.server.Add(HubUser::Model());
  Fetch();
  user_.server.Add(hidden);
  for (const std::vector<std::string>& command : {std::vector<std::string>{"info", "me/tiny"},
                                                  {"quantize", "me/tiny", "gguf", "-q", "Q4_0"}}) {
    const json refused = RunJson(command, 4);
    EXPECT_EQ(refused["error_type"], "AuthenticationRequiredError");
    EXPECT_THAT(refused["message"], HasSubstr("does not show model 'me/tiny', which it once did"));
    EXPECT_THAT(refused["suggestion"], HasSubstr("HF_TOKEN"));
  }
}

// The server never answers for one of the model's files.
TEST_F(HubCommandsTest, ASignalLeavesNothingBehind) {
  const std::filesystem::path temporary = user_.sandbox.path() / "tmp";
  for (const std::vector<std::string>& command :
       {std::vector<std::string>{"info", "me/tiny"},
        {"quantize", "me/tiny", "gguf", "-q", "Q4_0", "--plan"}}) {
    for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
      SCOPED_TRACE(command[0] + " " + std::to_string(signal));
      user_.server.ForgetRequests();
      user_.server.Fail({.kind = testing::HubFaultKind::kStallBeforeHeaders,
                         .port = testing::HubPort::kHub,
                         .path_part = "/config.json"});
      testing::Process client(testing::Sandbox::Command(command), user_.options());
      ASSERT_TRUE(user_.server.WaitForRequests("/config.json", 1));
      EXPECT_FALSE(std::filesystem::is_empty(temporary));
      client.Signal(signal);
      const ProcessResult result = client.Wait();
      EXPECT_EQ(result.signal, signal) << result.out << result.err;
      EXPECT_EQ(result.out, "");
      EXPECT_TRUE(std::filesystem::is_empty(temporary));
      EXPECT_THAT(user_.sandbox.Processes("quantize-fetch"), IsEmpty());
    }
  }
}

// The worker is stopped as it opens the model, so that its environment can be looked at.
TEST_F(HubCommandsTest, WhoParsesTheModelDoesNotSeeTheToken) {
  constexpr char kCanary[] = "hf_CanaryCanaryCanary";
  user_.server.Accept(kCanary);
  auto options = user_.options();
  options.environment["HF_TOKEN"] = kCanary;
  options.environment.merge(testing::FaultEnvironment({.exe = "quantize-worker",
                                                       .call = "open",
                                                       .path = "*/config.json",
                                                       .action = "stop",
                                                       .mark = user_.sandbox.path() / "fired"}));
  testing::Process client(testing::Sandbox::Command({"info", "me/tiny"}), options);
  pid_t worker = 0;
  ASSERT_TRUE(testing::WaitUntil([&] {
    const auto workers = user_.sandbox.Processes("quantize-worker");
    if (workers.empty() || testing::ProcessState(workers[0]) != 'T') return false;
    worker = workers[0];
    return true;
  }));
  const std::string environment = testing::ReadAll("/proc/" + std::to_string(worker) + "/environ");
  kill(worker, SIGCONT);
  EXPECT_THAT(environment, HasSubstr("XDG_RUNTIME_DIR="));
  EXPECT_THAT(environment, Not(HasSubstr(kCanary)));
  EXPECT_EQ(client.Wait().exit_code, 0);
}

TEST_F(HubCommandsTest, TheCacheIsListedVerifiedAndPruned) {
  EXPECT_THAT(user_.Run({"cache", "list"}).out, HasSubstr("Cache: " + user_.cache().string()));
  const json fetched = Fetch();
  const json listed = RunJson({"cache", "list"});
  EXPECT_EQ(listed["models"][0]["model_name"], "me/tiny");
  EXPECT_EQ(listed["models"][0]["snapshots"][0]["commit"], fetched["commit"]);
  EXPECT_THAT(user_.Run({"cache", "list"}).out, HasSubstr("me/tiny  main"));
  EXPECT_THAT(user_.Run({"cache", "verify"}).out, HasSubstr("Verified: "));

  const std::filesystem::path file = fetched["path"].get<std::string>() + "/tokenizer.json";
  std::filesystem::permissions(file, std::filesystem::perms::owner_all);
  testing::WriteAll(file, "something else");
  const json wrong = RunJson({"cache", "verify"}, 6);
  EXPECT_EQ(wrong["error_type"], "ValidationError");
  EXPECT_THAT(wrong["suggestion"], HasSubstr("llm-quantize cache verify --remove"));
  EXPECT_EQ(RunJson({"cache", "verify", "--remove"})["removed"].size(), 1);
  EXPECT_THAT(user_.Run({"cache", "verify"}).out, Not(HasSubstr("Removed")));

  EXPECT_THAT(user_.Run({"cache", "prune"}).out, HasSubstr("Freed: 0 files, 0 B"));
  const auto month_ago =
      std::filesystem::file_time_type::clock::now() - std::chrono::hours(24 * 30);
  std::filesystem::last_write_time(fetched["path"].get<std::string>(), month_ago);
  EXPECT_EQ(RunJson({"cache", "prune", "--older-than", "31"})["snapshots"].size(), 0);
  EXPECT_THAT(user_.Run({"cache", "prune", "--older-than", "29"}).out,
              HasSubstr("Removed: me/tiny@" + fetched["commit"].get<std::string>()));
  EXPECT_THAT(RunJson({"cache", "list"})["models"], IsEmpty());
}

}  // namespace
}  // namespace quantized
