// Fuzz target: the walk that finds where a GGUF header ends. It does not depend on what follows the
// header, from a part of one it asks for more and never for too much, and a header that the reader
// takes has an end.
#include <cstdint>
#include <span>
#include <string_view>

#include "core/base/check.h"
#include "core/gguf/reader.h"
#include "daemon/hub/gguf_header.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace quantized;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const uint64_t end = LeastGgufHeaderBytes(bytes);
  const bool ends_here = end > 0 && end <= size;
  if (gguf::GgufReader::Open(MemoryBytes("fuzz", std::as_bytes(std::span(data, size)))).ok()) {
    CHECK(ends_here);
  }
  if (!ends_here) return 0;
  for (const uint64_t part : {end / 4, end / 2, end - 1}) {
    const uint64_t least = LeastGgufHeaderBytes(bytes.substr(0, part));
    CHECK(least > part && least <= end);
  }
  CHECK(LeastGgufHeaderBytes(bytes.substr(0, end)) == end);
  return 0;
}
