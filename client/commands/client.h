// The program `llm-quantize`.
#pragma once

namespace quantized {

// Runs one command line and returns the exit code of the contract. Owns the process: it ignores
// SIGPIPE, writes to stdout and stderr, and ends the process by a signal where a command was
// interrupted by one.
int RunClient(int argc, char** argv);

}  // namespace quantized
