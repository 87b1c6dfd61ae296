// The version that all programs of one build share.
#pragma once

#include <string_view>

namespace quantized {

inline constexpr std::string_view kVersion = QUANTIZED_VERSION;

// Programs of other builds may still talk: what must agree is this number, raised with every
// change of the wire contract or of the store that an older program cannot live with.
inline constexpr int kApiVersion = 3;

}  // namespace quantized
