// `quantize-worker levels`: the levels of each format, for whoever completes a command line.
#pragma once

namespace quantized {

// Prints {"status": "levels", "levels": {"gguf": ["F32", …], "awq": ["4bit"], "gptq": […]}}.
// Returns the exit code.
int RunLevels();

}  // namespace quantized
