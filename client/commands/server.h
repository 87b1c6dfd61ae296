// The commands `server status|start|stop`: the daemon itself.
#pragma once

#include "client/commands/command.h"

namespace quantized {

extern const Command kServerStatusCommand;
extern const Command kServerStartCommand;
extern const Command kServerStopCommand;

}  // namespace quantized
