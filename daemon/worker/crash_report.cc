#include "daemon/worker/crash_report.h"

#include <execinfo.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "core/base/check.h"
#include "quantized/v1/job.pb.h"

namespace quantized {
namespace {

// A signal handler has no other way to get at it.
std::atomic<const char*> phase_name{"none"};
std::string_view program_name;  // set before the handler is

// A line that is built without allocation.
class Line {
 public:
  Line& Add(std::string_view text) {
    const size_t count = std::min(text.size(), bytes_.size() - size_);
    std::memcpy(bytes_.data() + size_, text.data(), count);
    size_ += count;
    return *this;
  }
  Line& AddNumber(uint64_t value, unsigned base) {
    std::array<char, 20> digits;
    size_t first = digits.size();
    do {
      digits[--first] = "0123456789abcdef"[value % base];
      value /= base;
    } while (value != 0);
    return Add({digits.data() + first, digits.size() - first});
  }
  void Write() const {
    if (write(STDERR_FILENO, bytes_.data(), size_) < 0) return;  // nobody is left to tell
  }

 private:
  std::array<char, 256> bytes_;
  size_t size_ = 0;
};

void OnCrash(int signal, siginfo_t* info, void*) {
  const char* name = sigabbrev_np(signal);
  Line()
      .Add(program_name)
      .Add(": SIG")
      .Add(name == nullptr ? "?" : name)
      .Add(" (signal ")
      .AddNumber(static_cast<uint64_t>(signal), 10)
      .Add(") at address 0x")
      .AddNumber(reinterpret_cast<uintptr_t>(info->si_addr), 16)
      .Add(" in phase ")
      .Add(phase_name.load())
      .Add("\n")
      .Write();
  std::array<void*, 64> frames;
  backtrace_symbols_fd(frames.data(), backtrace(frames.data(), frames.size()), STDERR_FILENO);
  // The disposition is the default one again (SA_RESETHAND). A fault would come back by itself, a
  // signal that was sent would not.
  raise(signal);
}

}  // namespace

void InstallCrashReport(std::string_view program) {
  program_name = program;
  std::array<void*, 1> frame;
  backtrace(frame.data(),
            frame.size());  // the first call loads a library, which a handler must not

  // A stack that overflowed cannot carry the handler. Only the main thread has another.
  static std::array<std::byte, 64 << 10> alternate;
  const stack_t stack = {.ss_sp = alternate.data(), .ss_flags = 0, .ss_size = alternate.size()};
  CHECK(sigaltstack(&stack, nullptr) == 0);

  struct sigaction action = {};
  action.sa_sigaction = OnCrash;
  action.sa_flags = SA_SIGINFO | SA_RESETHAND | SA_ONSTACK;
  sigemptyset(&action.sa_mask);
  for (const int signal : {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT}) {
    CHECK(sigaction(signal, &action, nullptr) == 0);
  }
}

void SetPhaseForCrashReport(Phase phase) {
  phase_name = v1::Phase_Name(static_cast<v1::Phase>(phase)).c_str();
}

}  // namespace quantized
