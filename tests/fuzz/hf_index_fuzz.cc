// Fuzz target: a model.safetensors.index.json. Files that it names lie beside it, and it agrees
// with just the tensors that it names.
#include <cstdint>
#include <string>
#include <vector>

#include "core/base/check.h"
#include "core/hf/weight_files.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace quantized;
  const auto map = ParseWeightIndex({reinterpret_cast<const char*>(data), size});
  if (!map.ok()) return 0;
  std::vector<std::string> names;
  for (const auto& [tensor, file] : *map) {
    CHECK(!file.empty() && file != "." && file != "..");
    for (const char c : file) CHECK(c != '/' && c != '\0');
    names.push_back(tensor);
  }
  CHECK(CheckIndexAgrees(*map, names).ok());
  names.back() += "x";
  CHECK(!CheckIndexAgrees(*map, names).ok());
  return 0;
}
