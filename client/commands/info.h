// The command `info`.
#pragma once

#include "client/commands/command.h"

namespace quantized {

extern const Command kInfoCommand;

}  // namespace quantized
