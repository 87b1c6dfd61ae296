#include "client/render/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <string>

namespace quantized {
namespace {

bool NamesUtf8(std::string locale) {
  std::transform(locale.begin(), locale.end(), locale.begin(),
                 [](unsigned char c) { return std::tolower(c); });
  return locale.find("utf-8") != std::string::npos || locale.find("utf8") != std::string::npos;
}

bool LocaleIsUtf8(const Environment& environment) {
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    const std::string_view value = Lookup(environment, name);
    if (!value.empty()) return NamesUtf8(std::string(value));
  }
  return false;
}

}  // namespace

Terminal DetectTerminal(int fd, const Environment& environment) {
  Terminal terminal;
  terminal.is_tty = isatty(fd) == 1;
  const std::string_view term = Lookup(environment, "TERM");
  const bool capable = terminal.is_tty && !term.empty() && term != "dumb";
  terminal.redraws = capable && Lookup(environment, "CI").empty();
  terminal.color = capable && Lookup(environment, "NO_COLOR").empty();
  terminal.utf8 = LocaleIsUtf8(environment);
  return terminal;
}

int TerminalColumns(int fd) {
  constexpr int kDefault = 80;
  winsize size{};
  return ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : kDefault;
}

}  // namespace quantized
