#include "core/gguf/split_layout.h"

#include <algorithm>
#include <limits>
#include <string_view>
#include <utility>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/gguf/file_header.h"
#include "core/gguf/split.h"
#include "core/tensor/shape.h"
#include "core/tensor/text.h"

namespace quantized::gguf {
namespace {

constexpr size_t kMaxFiles = std::numeric_limits<uint16_t>::max();
constexpr std::string_view kSuggestion = "Give a larger --split-max-size";

enum class Keys { kNone, kSplitter, kQuantizer };

void SetKeys(Keys keys, size_t file, size_t files, size_t tensors, Metadata& metadata) {
  for (const std::string_view key : {kSplitNumberKey, kSplitCountKey, kSplitTensorsKey}) {
    metadata.Remove(key);
  }
  if (keys == Keys::kNone) return;
  metadata.SetLast(kSplitNumberKey, static_cast<uint16_t>(file));
  metadata.SetLast(kSplitCountKey, static_cast<uint16_t>(files));
  metadata.SetLast(kSplitTensorsKey, static_cast<int32_t>(tensors));
  // The splitter sets it once more when it has made all files.
  if (keys == Keys::kSplitter) metadata.SetLast(kSplitCountKey, static_cast<uint16_t>(files));
}

// Lays out files that take `counts` of the tensors, one after the other.
absl::StatusOr<std::vector<SplitFile>> PlanFiles(const Metadata& metadata,
                                                 std::span<const PlannedTensor> tensors,
                                                 std::span<const size_t> counts, Keys keys) {
  if (counts.size() > kMaxFiles) {
    return MakeError(Error::kInvalidArgument,
                     StrCat("the model would be split into ", counts.size(), " files, at most ",
                            kMaxFiles, " are possible"),
                     kSuggestion);
  }
  std::vector<SplitFile> files;
  size_t first = 0;
  for (size_t i = 0; i < counts.size(); ++i) {
    Metadata own = i == 0 ? metadata : Metadata();
    SetKeys(keys, i, counts.size(), tensors.size(), own);
    ASSIGN_OR_RETURN(GgufLayout layout, Plan(own, tensors.subspan(first, counts[i])));
    const SplitName name = {.prefix = "",
                            .number = static_cast<uint32_t>(i + 1),
                            .count = static_cast<uint32_t>(counts.size())};
    files.push_back({FormatSplitName(name), first, counts[i], std::move(layout)});
    first += counts[i];
  }
  return files;
}

}  // namespace

absl::StatusOr<std::vector<SplitFile>> PlanSplitBySize(const Metadata& metadata,
                                                       std::span<const PlannedTensor> tensors,
                                                       uint64_t max_bytes) {
  // The sizes, and the checks that only all tensors together allow. Sums of sizes cannot overflow.
  ASSIGN_OR_RETURN(const GgufLayout whole, Plan(Metadata(), tensors));
  std::vector<size_t> counts = {0};
  uint64_t bytes = 0;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const uint64_t size_bytes = *CheckedAlignUp(whole.tensors[i].size_bytes, kDefaultAlignment);
    bytes += size_bytes;
    if (bytes > max_bytes) {
      if (i == 0) {
        return MakeError(Error::kInvalidArgument,
                         StrCat("--split-max-size allows ", max_bytes, " bytes, the first tensor ",
                                PrintableName(tensors[0].name), " takes ", size_bytes),
                         kSuggestion);
      }
      counts.push_back(0);
      bytes = size_bytes;
    }
    ++counts.back();
  }
  return PlanFiles(metadata, tensors, counts, Keys::kSplitter);
}

absl::StatusOr<std::vector<SplitFile>> PlanKeptSplit(const Metadata& metadata,
                                                     std::span<const PlannedTensor> tensors,
                                                     std::span<const uint32_t> file_of_tensor) {
  CHECK(file_of_tensor.size() == tensors.size());
  CHECK(std::is_sorted(file_of_tensor.begin(), file_of_tensor.end()));
  RETURN_IF_ERROR(Plan(Metadata(), tensors).status());  // what only all tensors together show
  std::vector<size_t> counts(file_of_tensor.empty() ? 1 : size_t{file_of_tensor.back()} + 1);
  for (const uint32_t file : file_of_tensor) ++counts[file];
  return PlanFiles(metadata, tensors, counts, counts.size() == 1 ? Keys::kNone : Keys::kQuantizer);
}

}  // namespace quantized::gguf
