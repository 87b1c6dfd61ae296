// The log of an attempt: what its worker prints, line by line, made printable, in a file that stops
// growing at a cap; the last lines stay in memory. Not thread-safe.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "core/base/file.h"

namespace quantized {

class LogCapture {
 public:
  // Makes the file, empty, and its folder. Errors: kIo, kDiskFull.
  static absl::StatusOr<LogCapture> Create(const std::filesystem::path& path, uint64_t max_bytes);

  // Takes bytes as they come. A line reaches the file once it is whole or longer than 4 KiB. A file
  // that cannot be written stays as it is: a full disk must not end the attempt.
  void Append(std::string_view bytes);
  // Writes a last line that has no line feed.
  void Finish();

  // The last whole lines, at most 4 KiB.
  std::string Tail() const;

 private:
  LogCapture(File file, uint64_t max_bytes) : file_(std::move(file)), max_bytes_(max_bytes) {}
  void Write(std::string_view lines);

  File file_;
  uint64_t max_bytes_ = 0;
  uint64_t size_bytes_ = 0;
  bool full_ = false;
  std::string line_;  // the unfinished one
  std::string tail_;
};

}  // namespace quantized
