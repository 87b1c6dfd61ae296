// The commands `cache list|verify|prune`: the models of the Hugging Face Hub that were fetched.
#pragma once

#include "client/commands/command.h"

namespace quantized {

extern const Command kCacheListCommand;
extern const Command kCacheVerifyCommand;
extern const Command kCachePruneCommand;

}  // namespace quantized
