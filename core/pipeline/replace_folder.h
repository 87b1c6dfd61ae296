// The last step of a job that makes a folder: it gets its final name, and a folder that had that
// name before is gone. What a crash may leave: docs/formats/checkpoint.md, "Folders".
#pragma once

#include <filesystem>

#include "absl/status/status.h"

namespace quantized {

// Where the replaced folder is for a moment, on file systems that cannot exchange two names.
std::filesystem::path ReplacedPath(const std::filesystem::path& part);

// Exchanges two names in one step; 0, or -1 with errno, as renameat2.
using ExchangeNames = int (*)(const char* a, const char* b);
int ExchangeByKernel(const char* a, const char* b);

// Gives `part` the name `path`, durably, and removes what had it. The name never stands for half a
// folder; nor for nothing, where the file system can exchange names. Errors: kIo, and both are as
// they were, but for what could not be removed.
absl::Status ReplaceFolder(const std::filesystem::path& part, const std::filesystem::path& path,
                           ExchangeNames exchange = ExchangeByKernel);

}  // namespace quantized
