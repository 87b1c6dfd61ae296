// `quantize-worker inspect PATH [--tensors] [--verify] [--against PATH]`: what there is to know
// about a model, as one JSON object on standard output; where that fails, the contract's error
// object and exit code.
#pragma once

#include <optional>
#include <span>

namespace quantized {

// `words` follow "inspect". Nothing for words that are none of these; else the exit code.
std::optional<int> RunInspect(std::span<char* const> words);

}  // namespace quantized
