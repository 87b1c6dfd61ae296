#include "client/commands/confirm.h"

#include <fcntl.h>
#include <unistd.h>

#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/string_view.h"
#include "core/base/error.h"

namespace quantized {
namespace {

constexpr char kTerminal[] = "/dev/tty";
constexpr size_t kMaxAnswer = 1024;

struct Descriptor {
  explicit Descriptor(int number) : fd(number) {}
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  const int fd;
};

// Up to the end of the line or of the input.
std::string ReadLine(int fd) {
  std::string line;
  char c = 0;
  while (line.size() < kMaxAnswer && ::read(fd, &c, 1) == 1 && c != '\n') line += c;
  return line;
}

}  // namespace

absl::StatusOr<bool> Confirm(std::string_view question) {
  const Descriptor terminal(::open(kTerminal, O_RDWR | O_CLOEXEC | O_NOCTTY));
  if (terminal.fd < 0) return MakeError(Error::kCancelled, "there is no terminal to ask on");
  const std::string text = std::string(question) + " [y/N] ";
  if (::write(terminal.fd, text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    return MakeError(Error::kCancelled, "the terminal cannot be written to");
  }
  const std::string answer = absl::AsciiStrToLower(ReadLine(terminal.fd));
  const absl::string_view word = absl::StripAsciiWhitespace(answer);
  return word == "y" || word == "yes";
}

}  // namespace quantized
