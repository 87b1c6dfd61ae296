#include "core/forward/activation_store.h"

#include <cstring>
#include <utility>

#include "core/base/check.h"
#include "core/base/ids.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"

namespace quantized {
namespace {

// Calls body(first row, count, index of the first) for each run of rows that follow each other.
template <class Body>
absl::Status ForEachRun(std::span<const uint32_t> rows, const Body& body) {
  for (size_t begin = 0; begin < rows.size();) {
    size_t end = begin + 1;
    while (end < rows.size() && rows[end] == rows[end - 1] + 1) ++end;
    RETURN_IF_ERROR(body(rows[begin], end - begin, begin));
    begin = end;
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ActivationStore> ActivationStore::Create(uint64_t rows, uint64_t width,
                                                        const std::filesystem::path& spill_folder) {
  ActivationStore store(rows, width);
  if (spill_folder.empty()) {
    store.memory_.resize(rows * width);
    return store;
  }
  RETURN_IF_ERROR(CreateDirectories(spill_folder));
  const std::filesystem::path path = spill_folder / StrCat("activations-", NewUuid());
  ASSIGN_OR_RETURN(store.file_, File::CreateExclusive(path));
  RETURN_IF_ERROR(RemoveAll(path));
  RETURN_IF_ERROR(store.file_.Allocate(rows * width * sizeof(float)));
  return store;
}

absl::Status ActivationStore::Read(uint64_t first, uint64_t count, float* out) const {
  CHECK(first + count <= rows_);
  if (count == 0) return absl::OkStatus();
  if (!spilled()) {
    std::memcpy(out, memory_.data() + first * width_, count * width_ * sizeof(float));
    return absl::OkStatus();
  }
  return file_.ReadAt(first * width_ * sizeof(float),
                      std::as_writable_bytes(std::span(out, count * width_)));
}

absl::Status ActivationStore::Write(uint64_t first, uint64_t count, const float* values) {
  CHECK(first + count <= rows_);
  if (count == 0) return absl::OkStatus();
  if (!spilled()) {
    std::memcpy(memory_.data() + first * width_, values, count * width_ * sizeof(float));
    return absl::OkStatus();
  }
  return file_.WriteAt(first * width_ * sizeof(float),
                       std::as_bytes(std::span(values, count * width_)));
}

absl::Status ActivationStore::Gather(std::span<const uint32_t> rows, float* out) const {
  return ForEachRun(rows, [&](uint64_t first, uint64_t count, size_t index) {
    return Read(first, count, out + index * width_);
  });
}

absl::Status ActivationStore::Scatter(std::span<const uint32_t> rows, const float* values) {
  return ForEachRun(rows, [&](uint64_t first, uint64_t count, size_t index) {
    return Write(first, count, values + index * width_);
  });
}

}  // namespace quantized
