// Which architecture a GGUF model is of. Several share a name in GGUF; the names of their tensors
// tell them apart. Pure functions; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "core/arch/architecture.h"

namespace quantized {

// How the names of a file's tensors suit an architecture.
struct ArchitectureFit {
  const Architecture* architecture = nullptr;
  size_t known = 0;                    // tensors that its rules name
  std::optional<std::string> missing;  // the first that its rules demand and the file lacks
  std::optional<std::string> unknown;  // the first, in byte order, that its rules do not name
};

// Of the architectures of that name the one whose rules name the most tensors. Of two that suit,
// the first counts: a Mistral is a Llama here, which computes the same. `architecture` is null
// where none has the name. No more layers are looked for than there are tensors.
ArchitectureFit FitGgufArchitecture(std::string_view gguf_name, uint32_t layers,
                                    std::span<const std::string_view> tensors);

}  // namespace quantized
