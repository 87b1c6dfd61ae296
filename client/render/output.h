// The program's stdout and stderr. stdout gets the result and nothing else; stderr gets lines that
// begin with "[llm-quantize] ", the progress line, and errors. Nothing else in the client writes to
// either. On a terminal the progress line stays at the bottom and is redrawn.
// Not thread-safe: for the main thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "client/render/progress_line.h"
#include "client/render/terminal.h"
#include "core/base/environment.h"
#include "quantized/v1/job.pb.h"

namespace quantized {

enum class Format { kHuman, kJson };
enum class Verbosity { kQuiet, kNormal, kVerbose, kDebug };
enum class ProgressMode { kAuto, kTty, kPlain, kJson, kNone };

struct OutputOptions {
  Format format = Format::kHuman;
  Verbosity verbosity = Verbosity::kNormal;
  ProgressMode progress = ProgressMode::kAuto;
};

class Output {
 public:
  Output(int out_fd, int err_fd, const OutputOptions& options, const Environment& environment);
  ~Output();
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;

  Format format() const { return options_.format; }
  bool Shows(Verbosity level) const { return level <= options_.verbosity; }
  // Never kAuto.
  ProgressMode progress() const { return progress_; }

  // Writes `text` to stdout. kIo when not all of it could be written.
  absl::Status WriteResult(std::string_view text);

  // A line on stderr, shown from `level` on.
  void Note(Verbosity level, std::string_view line);
  void Warn(std::string_view line);

  // The failure that ends the program: on stderr in words, and under --format json as the one
  // object on stdout. `job_id` may be empty; `finished` is what its job made all the same.
  void Fail(const absl::Status& status, std::string_view job_id,
            const v1::QuantizeResults& finished = {});

  // Shows how far the job is, in the way that --progress asks for; the caller decides how often.
  void ShowProgress(const ProgressState& state);
  // Ends the progress line: what it shows stays.
  void KeepProgress();
  // The progress line goes away.
  void DropProgress();

 private:
  void WriteLine(std::string_view prefix, std::string_view text, std::string_view color);
  void WriteErr(std::string_view bytes) const;
  void EraseProgress();
  void DrawProgress();

  const int out_fd_, err_fd_;
  const OutputOptions options_;
  const Terminal err_;
  const ProgressMode progress_;
  std::optional<ProgressState> bar_;  // shown now, on a terminal that redraws
};

}  // namespace quantized
