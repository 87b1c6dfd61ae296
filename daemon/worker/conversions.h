// `quantize-worker conversions`: what `convert` can make of what.
#pragma once

namespace quantized {

// Prints {"status": "conversions", "conversions": […]}: an object for each row of AllConversions,
// its members as keys. Returns the exit code.
int RunConversions();

}  // namespace quantized
