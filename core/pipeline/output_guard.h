// What an output may take the place of: never of what its job reads, and of nothing that is no
// output itself, `--overwrite` or not. Places are compared as the file system knows them, by device
// and inode, so that links and other ways to the same place do not matter.
#pragma once

#include <filesystem>
#include <span>

#include "absl/status/status.h"
#include "core/pipeline/plan.h"
#include "core/pipeline/quantize.h"

namespace quantized {

enum class OutputKind { kFile, kFolder };

// Whether what is at `path` may give way to an output, if anything is there: a file named .gguf or
// that begins as one, or an empty one, to a file; a folder with llm-quantize.json or config.json,
// or an empty one, to a folder. Errors: kInvalidArgument, which says what is there.
absl::Status CheckReplaceable(const std::filesystem::path& path, OutputKind kind);

// Whether the outputs of a job may be made, for gguf the files of `plans`, for awq and gptq the
// folders of the request. Refused is one that is, or is a folder around, a file or folder that the
// job reads: the model (all files of a split one, both ends of links), the calibration data, the
// importance matrices. So is its part (PartPath), and so are the report beside it and
// an --imatrix-out that replaces something. Inside the model's own folder a folder gives way only
// if it is one of ours. Errors: kInvalidArgument, with the output, what would be lost, and what to
// do; those of CheckReplaceable and LocateModel.
absl::Status CheckOutputFiles(const QuantizeRequest& request, std::span<const QuantizePlan> plans);
absl::Status CheckOutputFolders(const QuantizeRequest& request);

// kInvalidArgument: something that may not be replaced has the name of --imatrix-out.
absl::Status MatrixIsThere(const std::filesystem::path& path);

}  // namespace quantized
