// Fuzz target: an importance matrix in either form. Beyond not crashing, a matrix that opens keeps
// its promises: no entry is empty, no weight anything but a number from 0 on, all weights together
// no larger than the file, and each entry is found under its name and size.
#include <cmath>
#include <cstdint>
#include <span>
#include <string>

#include "core/base/check.h"
#include "core/calibrate/importance_file.h"
#include "core/calibrate/importance_matrix.h"

namespace quantized {
namespace {

void CheckEntries(const ImportanceMatrix& matrix, size_t file_bytes) {
  size_t weight_bytes = 0;
  for (const auto& [name, weights] : matrix.entries()) {
    CHECK(!weights.empty());
    for (const float weight : weights) CHECK(std::isfinite(weight) && weight >= 0);
    weight_bytes += weights.size() * sizeof(float);
    const auto found = matrix.Find(name, 1, weights.size());
    CHECK(found.ok() && found->data() == weights.data());
  }
  CHECK(weight_bytes <= file_bytes);
}

void CheckMetadata(const ImportanceMatrix& matrix) {
  gguf::Metadata metadata;
  matrix.AppendMetadata("fuzz", metadata);
  CHECK(metadata.GetUnsigned("quantize.imatrix.entries_count") == matrix.entries().size());
}

// What is written is read again. Names may be too long for GGUF.
void CheckWriting(const ImportanceFile& file) {
  const auto same = [&file](const std::string& bytes) {
    const auto again = ReadImportanceFile(MemoryBytes("again", std::as_bytes(std::span(bytes))));
    CHECK(again.ok() && again->entries.size() == file.entries.size());
  };
  const auto bytes = ImportanceGguf(file);
  if (bytes.ok()) same(*bytes);
  same(ImportanceLegacy(file));
}

}  // namespace
}  // namespace quantized

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace quantized;
  const auto file =
      ReadImportanceFile(MemoryBytes("fuzz.imatrix", std::as_bytes(std::span(data, size))));
  if (!file.ok()) return 0;
  CHECK(!file->entries.empty());
  CheckWriting(*file);
  const auto matrix = ImportanceMatrix::Make(*file, "fuzz.imatrix", /*filter=*/{});
  if (!matrix.ok()) return 0;
  CHECK(!matrix->empty());
  CheckEntries(*matrix, size);
  CheckMetadata(*matrix);
  CHECK(matrix->Hash().size() == 64);
  return 0;
}
