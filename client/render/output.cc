#include "client/render/output.h"

#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>

#include "client/render/json.h"
#include "client/render/text.h"
#include "client/rpc/error_detail.h"
#include "core/base/error.h"

namespace quantized {
namespace {

constexpr std::string_view kPrefix = "[llm-quantize] ";
constexpr std::string_view kEraseLine = "\r\x1b[K";
constexpr std::string_view kRed = "\x1b[31m", kYellow = "\x1b[33m", kPlain = "\x1b[0m";
// Wide enough for the contract's line; where nobody redraws nothing needs to fit.
constexpr int kUnlimitedColumns = 1000;

ProgressMode ChooseProgress(const OutputOptions& options, const Terminal& terminal) {
  if (options.progress != ProgressMode::kAuto) return options.progress;
  return terminal.redraws ? ProgressMode::kTty : ProgressMode::kPlain;
}

// 0, or the errno of the write that failed.
int WriteAll(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t count = write(fd, bytes.data(), bytes.size());
    if (count >= 0) {
      bytes.remove_prefix(count);
    } else if (errno == EAGAIN) {  // a pipe that somebody else made non-blocking
      pollfd waiting{fd, POLLOUT, 0};
      poll(&waiting, 1, -1);
    } else if (errno != EINTR) {
      return errno;
    }
  }
  return 0;
}

}  // namespace

Output::Output(int out_fd, int err_fd, const OutputOptions& options, const Environment& environment)
    : out_fd_(out_fd),
      err_fd_(err_fd),
      options_(options),
      err_(DetectTerminal(err_fd, environment)),
      progress_(ChooseProgress(options, err_)) {}

Output::~Output() { KeepProgress(); }

absl::Status Output::WriteResult(std::string_view text) {
  KeepProgress();
  const int error = WriteAll(out_fd_, text);
  return error == 0 ? absl::OkStatus() : ErrnoError(error, "write the result to", "stdout");
}

void Output::Note(Verbosity level, std::string_view line) {
  if (!Shows(level)) return;
  if (progress_ == ProgressMode::kJson) return WriteErr(JsonMessageLine("message", line));
  WriteLine("", line, "");
}

void Output::Warn(std::string_view line) {
  if (!Shows(Verbosity::kNormal)) return;
  if (progress_ == ProgressMode::kJson) return WriteErr(JsonMessageLine("warning", line));
  WriteLine("Warning: ", line, kYellow);
}

void Output::Fail(const absl::Status& status, std::string_view job_id,
                  const v1::QuantizeResults& finished) {
  DropProgress();
  const std::string log_tail =
      Shows(Verbosity::kVerbose) || ErrorOf(status) == Error::kWorkerCrashed ? LogTailOf(status)
                                                                             : "";
  if (progress_ == ProgressMode::kJson) {
    WriteErr(JsonMessageLine("error", std::string(status.message())));
  } else {
    WriteLine("Error: ", std::string(status.message()), kRed);
    if (!log_tail.empty())
      WriteErr(PrintableLines(log_tail) + (log_tail.ends_with('\n') ? "" : "\n"));
    if (const std::string suggestion = SuggestionOf(status); !suggestion.empty()) {
      WriteLine("Suggestion: ", suggestion, "");
    }
  }
  // The exit code tells of the failure also where stdout is gone.
  if (options_.format == Format::kJson) {
    WriteAll(out_fd_, JsonError(status, log_tail, job_id, finished));
  }
}

void Output::ShowProgress(const ProgressState& state) {
  if (!Shows(Verbosity::kNormal)) return;
  switch (progress_) {
    case ProgressMode::kTty:
      bar_ = state;
      return DrawProgress();
    case ProgressMode::kJson:
      return WriteErr(JsonProgressLine(state));
    case ProgressMode::kPlain:
      return WriteErr(ProgressLine(state, err_.utf8, kUnlimitedColumns) + "\n");
    case ProgressMode::kAuto:
    case ProgressMode::kNone:
      return;
  }
}

void Output::KeepProgress() {
  if (!bar_) return;
  DrawProgress();
  WriteErr("\n");
  bar_.reset();
}

void Output::DropProgress() {
  EraseProgress();
  bar_.reset();
}

void Output::EraseProgress() {
  if (bar_) WriteErr(kEraseLine);
}

void Output::DrawProgress() {
  // One column stays free: a line that fills the last one wraps on some terminals.
  const int columns = TerminalColumns(err_fd_) - 1;
  WriteErr(std::string(kEraseLine) + ProgressLine(*bar_, err_.utf8, columns));
}

void Output::WriteLine(std::string_view prefix, std::string_view text, std::string_view color) {
  EraseProgress();
  const bool colored = err_.color && !color.empty();
  WriteErr(fmt::format("{}{}{}{}{}\n", kPrefix, colored ? color : "", prefix, colored ? kPlain : "",
                       Printable(text)));
  if (bar_) DrawProgress();
}

// A stderr that is gone does not stop the work.
void Output::WriteErr(std::string_view bytes) const { WriteAll(err_fd_, bytes); }

}  // namespace quantized
