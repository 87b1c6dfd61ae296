// What the file behind a descriptor can show.
#pragma once

#include "core/base/environment.h"

namespace quantized {

struct Terminal {
  bool is_tty = false;
  bool redraws = false;  // a TTY that moves its cursor, watched by a person
  bool color = false;
  bool utf8 = false;
};

// Colour and redrawing need a TTY whose TERM is not "dumb"; NO_COLOR (not empty) turns colour off,
// CI turns redrawing off. UTF-8 is what LC_ALL, LC_CTYPE or LANG – the first that is set – says.
Terminal DetectTerminal(int fd, const Environment& environment);

// Columns of the terminal now; 80 where it has none.
int TerminalColumns(int fd);

}  // namespace quantized
