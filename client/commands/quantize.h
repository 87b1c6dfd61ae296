// The command `quantize`.
#pragma once

#include "client/commands/command.h"

namespace quantized {

extern const Command kQuantizeCommand;

}  // namespace quantized
