// The program llm-quantize before a daemon that does what the test says: output, exit codes,
// signals, lost connections, closed outputs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "client/rpc/fake_daemon.h"
#include "core/base/error.h"
#include "tests/support/paths.h"
#include "tests/support/sandbox.h"

namespace quantized::testing {
namespace {

using Json = nlohmann::ordered_json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

v1::JobEvent PhaseEvent(v1::Phase phase) {
  v1::JobEvent event;
  event.mutable_phase()->set_phase(phase);
  return event;
}

v1::JobEvent MessageEvent(const std::string& line) {
  v1::JobEvent event;
  event.mutable_message()->set_line(line);
  return event;
}

v1::JobEvent ProgressEvent(uint64_t done) {
  v1::JobEvent event;
  event.set_ephemeral(true);
  event.mutable_progress()->set_done(done);
  event.mutable_progress()->set_total(32);
  event.mutable_progress()->set_unit("layers");
  event.mutable_progress()->set_elapsed_seconds(923);
  return event;
}

v1::JobEvent SuccessEvent() {
  v1::JobEvent event;
  event.mutable_finished()->set_state(v1::Job::SUCCEEDED);
  v1::QuantizeResult& result =
      *event.mutable_finished()->mutable_result()->mutable_quantize()->add_outputs();
  result.set_output_path("/output/model-Q4_K_M.gguf");
  result.set_format("gguf");
  result.set_level("Q4_K_M");
  result.set_file_size_bytes(3'900'000'000);
  result.set_compression_ratio(0.28);
  result.set_duration_seconds(923);
  result.set_validation_status("valid");
  return event;
}

v1::JobEvent FailureEvent(Error error, const std::string& message) {
  v1::JobEvent event;
  event.mutable_finished()->set_state(v1::Job::FAILED);
  v1::ErrorDetail& detail = *event.mutable_finished()->mutable_error();
  detail.set_error(static_cast<int>(error));
  detail.set_message(message);
  detail.set_suggestion("do this");
  return event;
}

class ClientBehaviourTest : public ::testing::Test {
 protected:
  ClientBehaviourTest() { std::filesystem::create_directory(user_.work() / "model"); }

  ProcessOptions Options(std::map<std::string, std::string> more = {}) const {
    ProcessOptions options = user_.options();
    options.environment["LLM_QUANTIZE_HOST"] = "unix:" + Socket();
    options.environment["LC_ALL"] = "C.UTF-8";
    for (const auto& [name, value] : more) options.environment[name] = value;
    return options;
  }
  std::string Socket() const { return user_.path() / "fake.sock"; }

  static std::vector<std::string> Quantize(std::vector<std::string> more = {}) {
    more.insert(more.begin(), {"quantize", "./model", "gguf", "-q", "Q4_K_M"});
    return Sandbox::Command(more);
  }
  ProcessResult Run(const std::vector<std::string>& command) const {
    return RunProcess(command, Options());
  }
  ProcessResult Shell(const std::string& command) const {
    ProcessOptions options = Options({{"PATH", BinDir().native() + ":/usr/bin:/bin"}});
    return RunProcess({"/bin/sh", "-c", command}, options);
  }

  void PlaySuccess() {
    daemon_.Say(PhaseEvent(v1::PROBE));
    daemon_.Say(MessageEvent("Loading model: ./model"));
    daemon_.Say(MessageEvent("Architecture: LlamaForCausalLM (32 layers)"));
    daemon_.Say(PhaseEvent(v1::QUANTIZE));
    daemon_.Say(MessageEvent("Quantizing to GGUF Q4_K_M"));
    daemon_.Say(ProgressEvent(32));
    daemon_.Say(PhaseEvent(v1::VALIDATE));
    daemon_.Say(MessageEvent("Validating output..."));
    daemon_.Say(SuccessEvent());
  }

  Sandbox user_;
  FakeDaemon daemon_{Socket()};
};

constexpr std::string_view kContractLines =
    "[llm-quantize] Loading model: ./model\n"
    "[llm-quantize] Architecture: LlamaForCausalLM (32 layers)\n"
    "[llm-quantize] Quantizing to GGUF Q4_K_M\n"
    "Quantizing ━━━━━━━━━━━━━━━━━━━━ 100% 32/32 layers [15:23 elapsed]\n"
    "[llm-quantize] Validating output...\n"
    "[llm-quantize] Complete: /output/model-Q4_K_M.gguf (3.9 GB)\n";

TEST_F(ClientBehaviourTest, StderrHasTheContractsLinesAndStdoutTheResult) {
  PlaySuccess();
  const ProcessResult result = Run(Quantize());
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_EQ(result.err, kContractLines);
  EXPECT_THAT(result.out, StartsWith("Output: /output/model-Q4_K_M.gguf\nFormat: GGUF Q4_K_M\n"));
}

TEST_F(ClientBehaviourTest, JsonIsOneObjectOnStdout) {
  PlaySuccess();
  const ProcessResult result = Run(Quantize({"--format", "json"}));
  EXPECT_EQ(result.err, kContractLines);
  const Json object = Json::parse(result.out);
  EXPECT_EQ(object["status"], "success");
  EXPECT_EQ(object["metadata"]["job_id"], daemon_.job().id());
}

TEST_F(ClientBehaviourTest, QuietShowsOnlyTheResult) {
  PlaySuccess();
  const ProcessResult result = Run(Quantize({"--verbosity", "quiet"}));
  EXPECT_EQ(result.err, "");
  EXPECT_THAT(result.out, StartsWith("Output: "));
}

TEST_F(ClientBehaviourTest, VerboseAndDebugSayMore) {
  PlaySuccess();
  const ProcessResult verbose = Run(Quantize({"--verbosity", "verbose"}));
  EXPECT_THAT(verbose.err, HasSubstr("[llm-quantize] Job " + daemon_.job().id() + "\n"));
  EXPECT_THAT(verbose.err, HasSubstr("[llm-quantize] Phase: VALIDATE\n"));
  EXPECT_THAT(verbose.err, Not(HasSubstr("connected to")));
  const ProcessResult debug = Run(Quantize({"--verbosity", "debug"}));
  EXPECT_THAT(debug.err, HasSubstr("[llm-quantize] connected to unix:" + Socket() + "\n"));
}

TEST_F(ClientBehaviourTest, ProgressMayBeJsonOrNone) {
  PlaySuccess();
  const ProcessResult json = Run(Quantize({"--progress", "json"}));
  std::istringstream lines(json.err);
  int progress = 0;
  for (std::string line; std::getline(lines, line);) {
    const Json object = Json::parse(line, nullptr, false);
    ASSERT_TRUE(object.is_object()) << line;
    progress += object["event"] == "progress";
  }
  EXPECT_GE(progress, 1);
  EXPECT_THAT(Run(Quantize({"--progress", "none"})).err, Not(HasSubstr("elapsed")));
}

TEST_F(ClientBehaviourTest, TheBarIsAsciiWhereTheLocaleIs) {
  PlaySuccess();
  const ProcessResult result = RunProcess(Quantize(), Options({{"LC_ALL", "C"}}));
  EXPECT_THAT(result.err, HasSubstr("\nQuantizing #################### 100% 32/32 layers [15:23 "
                                    "elapsed]\n"));
}

TEST_F(ClientBehaviourTest, ATerminalGetsOneLineThatIsRedrawn) {
  PlaySuccess();
  const std::string command = "quantize ./model gguf -q Q4_K_M 2>&1 >/dev/null";
  const auto on_terminal = [&](const std::string& variables) {
    return Shell("TERM=xterm " + variables + " script -qec '" + "llm-quantize " + command +
                 "' /dev/null");
  };
  const ProcessResult plain = on_terminal("NO_COLOR=1");
  if (plain.exit_code == 127) GTEST_SKIP() << "script(1) is not installed";
  EXPECT_THAT(plain.out, HasSubstr("\r\x1b[KQuantizing ━━━━━━━━━━━━━━━━━━━━ 100% 32/32 layers "
                                   "[15:23 elapsed]"));
  EXPECT_THAT(plain.out, HasSubstr("Complete: /output/model-Q4_K_M.gguf (3.9 GB)\r\n"));
  EXPECT_THAT(on_terminal("TERM=dumb").out, Not(HasSubstr("\x1b")));
  EXPECT_THAT(on_terminal("CI=1").out, Not(HasSubstr("\x1b[K")));
}

TEST_F(ClientBehaviourTest, ColourIsForTerminalsWithoutNoColor) {
  const auto on_terminal = [&](const std::string& variables) {
    return Shell("TERM=xterm " + variables + " script -qec 'llm-quantize nonsense' /dev/null");
  };
  const ProcessResult colored = on_terminal("");
  if (colored.exit_code == 127) GTEST_SKIP() << "script(1) is not installed";
  EXPECT_THAT(colored.out, HasSubstr("\x1b[31mError: \x1b[0m"));
  EXPECT_THAT(on_terminal("NO_COLOR=1").out, Not(HasSubstr("\x1b")));
  EXPECT_THAT(Shell("llm-quantize nonsense").err, Not(HasSubstr("\x1b")));
}

TEST_F(ClientBehaviourTest, EveryErrorHasItsExitCodeAndObject) {
  for (const ErrorRow& row : AllErrors()) {
    SCOPED_TRACE(row.error_type);
    FakeDaemon daemon(user_.path() / "other.sock");
    daemon.Say(FailureEvent(row.error, "it went wrong"));
    const ProcessOptions options =
        Options({{"LLM_QUANTIZE_HOST", "unix:" + (user_.path() / "other.sock").native()}});
    const ProcessResult result = RunProcess(Quantize({"--format", "json"}), options);
    EXPECT_EQ(result.exit_code, row.exit_code);
    const Json object = Json::parse(result.out);
    EXPECT_EQ(object["status"], "error");
    EXPECT_EQ(object["error_code"], row.exit_code);
    EXPECT_EQ(object["error_type"], row.error_type);
    EXPECT_EQ(object["message"], "it went wrong");
    EXPECT_EQ(object["suggestion"], "do this");
    EXPECT_EQ(object["job_id"], daemon.job().id());
    EXPECT_EQ(result.err,
              "[llm-quantize] Error: it went wrong\n[llm-quantize] Suggestion: do this\n");
    const ProcessResult human = RunProcess(Quantize(), options);
    EXPECT_EQ(human.exit_code, row.exit_code);
    EXPECT_EQ(human.out, "");
  }
}

TEST_F(ClientBehaviourTest, CtrlCCancelsAndEndsBySigint) {
  daemon_.Say(MessageEvent("started"));
  Process client(Quantize(), Options());
  ASSERT_TRUE(client.WaitForOutput("started"));
  client.Signal(SIGINT);
  const ProcessResult result = client.Wait();
  EXPECT_EQ(result.signal, SIGINT);
  EXPECT_EQ(daemon_.cancels(), 1);
  EXPECT_EQ(result.out, "");
  EXPECT_THAT(result.err, HasSubstr("[llm-quantize] Error: the job was cancelled\n"));
  EXPECT_THAT(result.err, HasSubstr("Suggestion: Go on with: llm-quantize quantize " +
                                    (user_.work() / "model").native() + " gguf -q Q4_K_M"));
}

TEST_F(ClientBehaviourTest, CtrlCUnderJsonLeavesTheErrorObject) {
  daemon_.Say(MessageEvent("started"));
  Process client(Quantize({"--format", "json"}), Options());
  ASSERT_TRUE(client.WaitForOutput("started"));
  client.Signal(SIGINT);
  const ProcessResult result = client.Wait();
  EXPECT_EQ(result.signal, SIGINT);
  EXPECT_EQ(Json::parse(result.out)["error_code"], 9);
}

TEST_F(ClientBehaviourTest, ASecondCtrlCEndsAtOnce) {
  daemon_.SetCancelEnds(false);
  daemon_.Say(MessageEvent("started"));
  Process client(Quantize(), Options());
  ASSERT_TRUE(client.WaitForOutput("started"));
  client.Signal(SIGINT);
  daemon_.AwaitCancel();
  client.Signal(SIGINT);
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(client.Wait().signal, SIGINT);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5));
}

TEST_F(ClientBehaviourTest, SigtermAndSighupLeaveTheJobRunning) {
  for (const int signal : {SIGTERM, SIGHUP}) {
    FakeDaemon daemon(user_.path() / "other.sock");
    daemon.Say(MessageEvent("started"));
    Process client(
        Quantize(),
        Options({{"LLM_QUANTIZE_HOST", "unix:" + (user_.path() / "other.sock").native()}}));
    ASSERT_TRUE(client.WaitForOutput("started"));
    client.Signal(signal);
    const ProcessResult result = client.Wait();
    EXPECT_EQ(result.signal, signal);
    EXPECT_EQ(daemon.cancels(), 0);
    EXPECT_THAT(result.err, HasSubstr("The job goes on; come back to it with 'llm-quantize jobs "
                                      "attach " +
                                      daemon.job().id() + "'\n"));
  }
}

TEST_F(ClientBehaviourTest, UnderNohupAHangupIsNothing) {
  daemon_.Say(MessageEvent("started"));
  Process client({"/bin/sh", "-c",
                  "trap '' HUP; exec " + (BinDir() / "llm-quantize").native() +
                      " quantize ./model gguf -q Q4_K_M"},
                 Options());
  ASSERT_TRUE(client.WaitForOutput("started"));
  client.Signal(SIGHUP);
  daemon_.Say(SuccessEvent());
  EXPECT_EQ(client.Wait().exit_code, 0);
}

TEST_F(ClientBehaviourTest, AttachPrintsWhatAnUndisturbedClientPrints) {
  daemon_.Say(MessageEvent("started"));
  {
    Process killed(Quantize({"--format", "json"}), Options());
    ASSERT_TRUE(killed.WaitForOutput("started"));
    killed.Signal(SIGKILL);
    EXPECT_EQ(killed.Wait().out, "");
  }
  Process undisturbed(Quantize({"--format", "json"}), Options());
  ASSERT_TRUE(undisturbed.WaitForOutput("started"));
  Process attached(Sandbox::Command({"--format", "json", "jobs", "attach"}), Options());
  ASSERT_TRUE(attached.WaitForOutput("started"));
  Process waiting(Sandbox::Command({"--format", "json", "jobs", "wait", daemon_.job().id()}),
                  Options());
  daemon_.AwaitWatchers(3);
  daemon_.Say(SuccessEvent());
  const std::string expected = undisturbed.Wait().out;
  EXPECT_EQ(Json::parse(expected)["status"], "success");
  EXPECT_EQ(attached.Wait().out, expected);
  const ProcessResult waited = waiting.Wait();
  EXPECT_EQ(waited.out, expected);
  EXPECT_EQ(waited.err, "[llm-quantize] Complete: /output/model-Q4_K_M.gguf (3.9 GB)\n");
  // Afterwards, too.
  const auto later =
      Run(Sandbox::Command({"--format", "json", "jobs", "attach", daemon_.job().id()}));
  EXPECT_EQ(later.out, expected);
}

TEST_F(ClientBehaviourTest, CtrlCWhileWaitingCancelsNothing) {
  daemon_.Say(MessageEvent("started"));
  ASSERT_EQ(Run(Quantize({"--detach"})).exit_code, 0);
  Process client(Sandbox::Command({"jobs", "wait"}), Options());
  daemon_.AwaitWatchers(1);
  client.Signal(SIGINT);
  EXPECT_EQ(client.Wait().signal, SIGINT);
  EXPECT_EQ(daemon_.cancels(), 0);
}

TEST_F(ClientBehaviourTest, ABrokenConnectionStillGivesOneResult) {
  daemon_.Say(MessageEvent("one"));
  Process client(Quantize({"--format", "json"}), Options());
  ASSERT_TRUE(client.WaitForOutput("one"));
  daemon_.Stop();
  ASSERT_TRUE(client.WaitForOutput("reconnecting"));
  daemon_.Say(MessageEvent("two"));
  daemon_.Say(SuccessEvent());
  daemon_.Start();
  const ProcessResult result = client.Wait();
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_EQ(Json::parse(result.out)["status"], "success");
  EXPECT_EQ(result.err,
            "[llm-quantize] one\n"
            "[llm-quantize] Connection to the daemon lost; the job goes on, reconnecting\n"
            "[llm-quantize] Connected again\n"
            "[llm-quantize] two\n"
            "[llm-quantize] Complete: /output/model-Q4_K_M.gguf (3.9 GB)\n");
}

TEST_F(ClientBehaviourTest, AJobCancelledElsewhereEndsWithNine) {
  daemon_.Say(MessageEvent("started"));
  Process client(Quantize(), Options());
  ASSERT_TRUE(client.WaitForOutput("started"));
  const ProcessResult cancel = Run(Sandbox::Command({"jobs", "cancel", daemon_.job().id()}));
  EXPECT_EQ(cancel.exit_code, 0);
  EXPECT_THAT(cancel.out, HasSubstr("State: CANCELLED\n"));
  EXPECT_EQ(client.Wait().exit_code, 9);
}

TEST_F(ClientBehaviourTest, DetachPrintsTheJob) {
  const ProcessResult human = Run(Quantize({"--detach"}));
  EXPECT_EQ(human.exit_code, 0);
  EXPECT_EQ(human.out, daemon_.job().id() + "\n");
  const ProcessResult json = Run(Quantize({"--detach", "--format", "json"}));
  EXPECT_EQ(Json::parse(json.out)["id"], daemon_.job().id());
}

TEST_F(ClientBehaviourTest, TheRequestHasAbsolutePathsAndAllOptions) {
  ASSERT_EQ(Run(Quantize({"-o", "out/x", "-n", "name", "--checkpoint-dir", "c", "--threads", "3",
                          "--overwrite", "--pre", "llama-bpe", "--resume", "r", "--detach"}))
                .exit_code,
            0);
  const v1::QuantizeSpec spec = daemon_.job().spec().quantize();
  EXPECT_EQ(spec.model_path(), user_.work() / "model");
  EXPECT_EQ(spec.model_name(), "./model");
  EXPECT_EQ(spec.format(), "gguf");
  ASSERT_EQ(spec.outputs_size(), 1);
  EXPECT_EQ(spec.outputs(0).level(), "Q4_K_M");
  EXPECT_EQ(spec.outputs(0).path(), user_.work() / "out/x/name.gguf");
  EXPECT_TRUE(spec.overwrite());
  EXPECT_TRUE(spec.checkpoint().enabled());
  EXPECT_EQ(spec.checkpoint().directory(), user_.work() / "c");
  EXPECT_EQ(spec.checkpoint().resume_from(), user_.work() / "r");
  EXPECT_EQ(spec.threads(), 3);
  EXPECT_EQ(spec.pre_tokenizer(), "llama-bpe");
}

TEST_F(ClientBehaviourTest, TheRequestHasTheContractsDefaults) {
  ASSERT_EQ(Run(Quantize({"--detach"})).exit_code, 0);
  const v1::QuantizeSpec spec = daemon_.job().spec().quantize();
  ASSERT_EQ(spec.outputs_size(), 1);
  EXPECT_EQ(spec.outputs(0).path(), user_.work() / "model-Q4_K_M.gguf");
  EXPECT_EQ(spec.gguf().SerializeAsString(), "");
  EXPECT_FALSE(spec.strict());
  EXPECT_EQ(spec.device(), "auto");
  EXPECT_FALSE(spec.has_cuda_visible_devices());
  EXPECT_TRUE(spec.checkpoint().enabled());
  EXPECT_EQ(spec.checkpoint().directory(), user_.work() / ".checkpoint");
  EXPECT_EQ(spec.checkpoint().resume_from(), "");
  EXPECT_FALSE(spec.overwrite());
}

TEST_F(ClientBehaviourTest, EachLevelIsAnOutputOfTheSameJob) {
  ASSERT_EQ(Run(Quantize({"-q", "q6_k,F16", "-o", "out", "--detach"})).exit_code, 0);
  const v1::QuantizeSpec spec = daemon_.job().spec().quantize();
  ASSERT_EQ(spec.outputs_size(), 2);
  EXPECT_EQ(spec.outputs(0).level(), "q6_k");
  EXPECT_EQ(spec.outputs(0).path(), user_.work() / "out/model-Q6_K.gguf");
  EXPECT_EQ(spec.outputs(1).level(), "F16");
  EXPECT_EQ(spec.outputs(1).path(), user_.work() / "out/model-F16.gguf");
}

TEST_F(ClientBehaviourTest, TheOptionsOfLlamaQuantizeReachTheDaemon) {
  ASSERT_EQ(
      Run(Quantize({"--tensor-type", "a=q8_0", "--tensor-type", "b=f16", "--pure",
                    "--split-max-size", "500M", "--strict", "--device", "cuda:1", "--detach"}))
          .exit_code,
      0);
  const v1::QuantizeSpec spec = daemon_.job().spec().quantize();
  EXPECT_THAT(spec.gguf().tensor_types(), ElementsAre("a=q8_0", "b=f16"));
  EXPECT_TRUE(spec.gguf().pure());
  EXPECT_EQ(spec.gguf().split_max_bytes(), 500'000'000u);
  EXPECT_TRUE(spec.strict());
  EXPECT_EQ(spec.device(), "cuda:1");
}

TEST_F(ClientBehaviourTest, TheClientsDevicesTravelWithTheJob) {
  ASSERT_EQ(
      RunProcess(Quantize({"--detach"}), Options({{"CUDA_VISIBLE_DEVICES", "1,3"}})).exit_code, 0);
  EXPECT_EQ(daemon_.job().spec().quantize().cuda_visible_devices(), "1,3");
}

TEST_F(ClientBehaviourTest, SeveralResultsAreAnArray) {
  v1::JobEvent event = SuccessEvent();
  v1::QuantizeResults& results = *event.mutable_finished()->mutable_result()->mutable_quantize();
  v1::QuantizeResult& second = *results.add_outputs();
  second = results.outputs(0);
  second.set_level("Q6_K");
  second.set_output_path("/output/model-Q6_K.gguf");
  daemon_.Say(event);
  const ProcessResult json = Run(Quantize({"--format", "json"}));
  EXPECT_EQ(json.exit_code, 0);
  const Json array = Json::parse(json.out);
  ASSERT_EQ(array.size(), 2u);
  EXPECT_EQ(array[0]["quantization_level"], "Q4_K_M");
  EXPECT_EQ(array[1]["output_path"], "/output/model-Q6_K.gguf");
  EXPECT_THAT(json.err, HasSubstr("Complete: /output/model-Q4_K_M.gguf (3.9 GB)\n"
                                  "[llm-quantize] Complete: /output/model-Q6_K.gguf (3.9 GB)\n"));
}

TEST_F(ClientBehaviourTest, AFailureTellsWhatIsFinished) {
  v1::JobEvent event = FailureEvent(Error::kDiskFull, "the disk is full");
  *event.mutable_finished()->mutable_finished() = SuccessEvent().finished().result();
  daemon_.Say(event);
  const ProcessResult json = Run(Quantize({"--format", "json"}));
  EXPECT_EQ(json.exit_code, 1);
  const Json object = Json::parse(json.out);
  EXPECT_EQ(object["error_type"], "DiskFullError");
  ASSERT_EQ(object["finished"].size(), 1u);
  EXPECT_EQ(object["finished"][0]["output_path"], "/output/model-Q4_K_M.gguf");
  EXPECT_THAT(json.err, HasSubstr("Complete: /output/model-Q4_K_M.gguf (3.9 GB)\n"
                                  "[llm-quantize] Error: the disk is full\n"));
  EXPECT_EQ(Run(Quantize()).out, "");
}

TEST_F(ClientBehaviourTest, TheCheckpointFolderMayComeFromTheEnvironment) {
  const ProcessOptions options = Options({{"LLM_QUANTIZE_CHECKPOINT_DIR", "elsewhere"}});
  ASSERT_EQ(RunProcess(Quantize({"--detach"}), options).exit_code, 0);
  EXPECT_EQ(daemon_.job().spec().quantize().checkpoint().directory(), user_.work() / "elsewhere");
}

TEST_F(ClientBehaviourTest, CheckpointsCanBeSwitchedOff) {
  ASSERT_EQ(Run(Quantize({"--no-checkpoints", "--detach"})).exit_code, 0);
  EXPECT_FALSE(daemon_.job().spec().quantize().checkpoint().enabled());
}

TEST_F(ClientBehaviourTest, OptionsWithoutEffectAreSaidSo) {
  const ProcessResult result = Run(Quantize({"--group-size", "64", "--detach"}));
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(result.err, HasSubstr("Warning: --group-size has no effect on gguf levels\n"));
}

TEST_F(ClientBehaviourTest, AStdoutThatCannotBeWrittenIsExitOne) {
  PlaySuccess();
  for (const char* redirection : {">&-", ">/dev/full"}) {
    for (const char* format : {"human", "json"}) {
      const ProcessResult result = Shell(std::string("llm-quantize --format ") + format +
                                         " quantize ./model gguf -q Q4_K_M " + redirection);
      EXPECT_EQ(result.exit_code, 1) << redirection << " " << format;
      EXPECT_THAT(result.err, HasSubstr("Error: cannot write the result to stdout: "));
    }
  }
  EXPECT_EQ(Shell("llm-quantize --help >/dev/full").exit_code, 1);
  const ProcessResult pipe =
      Shell("{ llm-quantize quantize ./model gguf -q Q4_K_M; echo \"exit $?\" >&2; } | true");
  EXPECT_THAT(pipe.err, HasSubstr("exit "));
  EXPECT_THAT(pipe.err, Not(HasSubstr("exit 141")));
}

TEST_F(ClientBehaviourTest, AStderrThatIsGoneDoesNotMatter) {
  PlaySuccess();
  const ProcessResult result = Shell("llm-quantize quantize ./model gguf -q Q4_K_M 2>&-");
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(result.out, StartsWith("Output: "));
}

TEST_F(ClientBehaviourTest, StdinIsNeverRead) {
  PlaySuccess();
  const ProcessResult result =
      Shell("echo untouched | { llm-quantize quantize ./model gguf -q Q4_K_M >&2; cat; }");
  EXPECT_EQ(result.out, "untouched\n");
}

TEST_F(ClientBehaviourTest, RemoteTextCannotSteerTheTerminal) {
  daemon_.Say(MessageEvent("evil\x1b]0;title\x07"));
  daemon_.Say(FailureEvent(Error::kValidationFailed, "bad\x1b[2J"));
  const ProcessResult result = Run(Quantize());
  EXPECT_EQ(result.exit_code, 6);
  EXPECT_THAT(result.err, Not(HasSubstr("\x1b")));
  EXPECT_THAT(result.err, HasSubstr("evil]0;title\n"));
}

}  // namespace
}  // namespace quantized::testing
