// `quantize-worker inspect PATH`: what there is to know about a model, as one JSON object on
// standard output; where that fails, the contract's error object and exit code.
#pragma once

#include <string_view>

namespace quantized {

// Returns the exit code.
int RunInspect(std::string_view path);

}  // namespace quantized
