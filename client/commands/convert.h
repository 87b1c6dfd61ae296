// The command `convert`.
#pragma once

#include "client/commands/command.h"

namespace quantized {

extern const Command kConvertCommand;

}  // namespace quantized
