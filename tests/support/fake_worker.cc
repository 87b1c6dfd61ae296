// A worker program that behaves as the last part of its path says (tests make links to it):
// `ok` works as it should, every other name is a row of kBehaviours and one way to go wrong.
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>

#include "core/base/version.h"
#include "daemon/worker/frames.h"

namespace quantized {
namespace {

void SendBytes(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = send(kWorkerSocket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0) _exit(90);  // the other end is gone
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
}

void Send(const v1::WorkerFrame& frame) { SendBytes(EncodeFrame(frame).value()); }

v1::WorkerFrame HelloFrame(int api_version = kApiVersion) {
  v1::WorkerFrame frame;
  frame.mutable_hello()->set_version(std::string(kVersion));
  frame.mutable_hello()->set_api_version(api_version);
  frame.mutable_hello()->set_pid(getpid());
  return frame;
}

v1::WorkerFrame MessageFrame(const std::string& line) {
  v1::WorkerFrame frame;
  frame.mutable_message()->set_line(line);
  return frame;
}

v1::WorkerFrame ResultFrame() {
  v1::WorkerFrame frame;
  frame.mutable_result()->mutable_noop();
  return frame;
}

v1::WorkerFrame HeartbeatFrame(uint64_t peak_memory_bytes) {
  v1::WorkerFrame frame;
  frame.mutable_heartbeat()->set_peak_memory_bytes(peak_memory_bytes);
  return frame;
}

// Waits for the next frame; ends the process with the other end.
v1::DaemonFrame Receive() {
  static FrameReader reader;
  for (;;) {
    auto frame = reader.Next<v1::DaemonFrame>();
    if (!frame.ok()) _exit(91);
    if (frame->has_value()) return **frame;
    char bytes[4096];
    const ssize_t size = recv(kWorkerSocket, bytes, sizeof(bytes), 0);
    if (size <= 0) _exit(90);
    reader.Append({bytes, static_cast<size_t>(size)});
  }
}

// Says Hello and gets its work; tells the job's id back.
v1::StartAttempt Greet() {
  Send(HelloFrame());
  const v1::DaemonFrame frame = Receive();
  if (!frame.has_start()) _exit(92);
  Send(MessageFrame("job " + frame.start().job_id()));
  return frame.start();
}

[[noreturn]] void Hang() {
  for (;;) pause();
}

void Ok() {
  Greet();
  Send(HeartbeatFrame(123 << 20));
  Send(HeartbeatFrame(77 << 20));
  std::printf("all is well\n");
  std::fflush(stdout);
  Send(ResultFrame());
}

void TellModel(const v1::StartAttempt& start) {
  Send(MessageFrame("model '" + start.spec().quantize().model_path() + "', token '" +
                    start.hub_token() + "'"));
}

// As quantize-fetch does.
void Fetch() {
  TellModel(Greet());
  Send(HeartbeatFrame(200 << 20));
  std::printf("fetching\n");
  std::fflush(stdout);
  v1::WorkerFrame frame;
  frame.mutable_result()->mutable_fetch()->set_model_path("/fetched");
  Send(frame);
}

// Is asked to stop, but done.
void FetchLate() {
  signal(SIGTERM, SIG_IGN);
  Greet();
  if (!Receive().has_stop()) _exit(93);
  v1::WorkerFrame frame;
  frame.mutable_result()->mutable_fetch()->set_model_path("/fetched");
  Send(frame);
}

void Work() {
  TellModel(Greet());
  Send(HeartbeatFrame(100 << 20));
  std::printf("working\n");
  std::fflush(stdout);
  Send(ResultFrame());
}

// Frames one byte at a time.
void Dribble() {
  Greet();
  for (int i = 0; i < 3; ++i) {
    const std::string frame = EncodeFrame(MessageFrame("slow " + std::to_string(i))).value();
    for (const char& byte : frame) SendBytes({&byte, 1});
  }
  Send(ResultFrame());
}

void Fail() {
  Greet();
  v1::WorkerFrame frame;
  v1::AttemptError& last = *frame.mutable_error();
  last.mutable_error()->set_error(6);
  last.mutable_error()->set_message("the model is odd");
  last.mutable_finished()->mutable_quantize()->add_outputs()->set_level("Q8_0");
  Send(frame);
  _exit(6);
}

void Crash() {
  Greet();
  std::fprintf(stderr, "about to \x1b[31mcrash\n");
  const rlimit no_core = {0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
  signal(SIGSEGV, SIG_DFL);  // a sanitizer's handler would make an exit of it
  raise(SIGSEGV);
}

void ExitSilently() {
  Greet();
  _exit(3);
}

void Garbage() {
  Greet();
  SendBytes(std::string("\x05\x00\x00\x00\xff\xff\xff\xff\xff", 9));
  Hang();
}

void Huge() {
  Greet();
  SendBytes("\xff\xff\xff\x7f");
  Hang();
}

void HelloTwice() {
  Greet();
  Send(HelloFrame());
  Hang();
}

void NeverHello() { Hang(); }

void NoHelloFirst() {
  Send(MessageFrame("good morning"));
  Hang();
}

void WrongVersion() {
  Send(HelloFrame(kApiVersion + 1));
  Hang();
}

void Mute() {
  Greet();
  Hang();
}

// Ends as asked by the frame or by the signal.
void Obey() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigprocmask(SIG_BLOCK, &signals, nullptr);
  Greet();
  if (!Receive().has_stop()) _exit(93);
  int signal = 0;
  sigwait(&signals, &signal);
  v1::WorkerFrame frame;
  v1::ErrorDetail& error = *frame.mutable_error()->mutable_error();
  error.set_error(9);
  error.set_message("stopped by frame and by signal " + std::to_string(signal));
  Send(frame);
  _exit(9);
}

void IgnoreStop() {
  signal(SIGTERM, SIG_IGN);
  Greet();
  Hang();
}

// Its last word said, it neither ends nor lets go of the socket.
void Linger() {
  Ok();
  Hang();
}

void CloseSocket() {
  Greet();
  close(kWorkerSocket);
  Hang();
}

void Flood() {
  Greet();
  const std::string line = std::string(127, 'f') + "\n";
  for (int i = 0; i < 4096; ++i) {
    if (write(1, line.data(), line.size()) < 0) _exit(94);
  }
  Send(ResultFrame());
}

// Leaves a child behind that holds the log and the socket open.
void Orphan() {
  Greet();
  const pid_t child = fork();
  if (child == 0) Hang();
  Send(MessageFrame("child " + std::to_string(child)));
  Send(ResultFrame());
}

// Tells what it was given: descriptors, environment, working folder, session.
void Tell() {
  Greet();
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code ignored;
    const auto target = std::filesystem::read_symlink(entry.path(), ignored);
    // The listing itself has one open.
    if (!target.string().starts_with("/proc/")) {
      Send(MessageFrame("fd " + entry.path().filename().string()));
    }
  }
  for (char** variable = environ; *variable != nullptr; ++variable) {
    Send(MessageFrame(std::string("environment ") + *variable));
  }
  Send(MessageFrame("folder " + std::filesystem::current_path().string()));
  Send(MessageFrame("leads its session " + std::to_string(getsid(0) == getpid())));
  sigset_t blocked;
  sigprocmask(SIG_SETMASK, nullptr, &blocked);
  struct sigaction pipe_action = {};
  sigaction(SIGPIPE, nullptr, &pipe_action);
  Send(MessageFrame("signals are default " + std::to_string(!sigismember(&blocked, SIGTERM) &&
                                                            pipe_action.sa_handler == SIG_DFL)));
  Send(ResultFrame());
}

struct Behaviour {
  std::string_view name;
  void (*run)();
};
constexpr Behaviour kBehaviours[] = {
    {"ok", Ok},
    {"dribble", Dribble},
    {"fail", Fail},
    {"crash", Crash},
    {"exit-silently", ExitSilently},
    {"garbage", Garbage},
    {"huge", Huge},
    {"hello-twice", HelloTwice},
    {"never-hello", NeverHello},
    {"no-hello-first", NoHelloFirst},
    {"wrong-version", WrongVersion},
    {"mute", Mute},
    {"obey", Obey},
    {"ignore-stop", IgnoreStop},
    {"linger", Linger},
    {"close-socket", CloseSocket},
    {"flood", Flood},
    {"orphan", Orphan},
    {"tell", Tell},
    {"fetch", Fetch},
    {"fetch-late", FetchLate},
    {"work", Work},
};

}  // namespace
}  // namespace quantized

int main(int, char** argv) {
  const std::string name = std::filesystem::path(argv[0]).filename();
  for (const quantized::Behaviour& behaviour : quantized::kBehaviours) {
    if (behaviour.name == name) {
      behaviour.run();
      return 0;
    }
  }
  std::fprintf(stderr, "no behaviour is called %s\n", name.c_str());
  return 99;
}
