// Holds the signals that end a program back while there is something to do before it ends.
#pragma once

#include <signal.h>

#include <array>
#include <optional>

namespace quantized {

inline constexpr std::array kHeldSignals = {SIGINT, SIGTERM, SIGHUP};

// SIGINT, SIGTERM and SIGHUP as readable bytes for as long as the object lives. To be made before
// any other thread starts, so that all threads have them blocked. A signal that was ignored when
// the program started (nohup) stays so. One that nobody took does on release what it did before,
// which is to end the program; where two objects live at once, that of the outer one.
class HeldSignals {
 public:
  HeldSignals();
  ~HeldSignals() { Release(); }
  HeldSignals(const HeldSignals&) = delete;
  HeldSignals& operator=(const HeldSignals&) = delete;

  // From here on signals do again what they did before.
  void Release();

  // Readable when one came.
  int fd() const { return fd_; }
  std::optional<int> Take() const;

 private:
  sigset_t set_, before_;
  int fd_ = -1;
};

}  // namespace quantized
