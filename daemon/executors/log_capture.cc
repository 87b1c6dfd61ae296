#include "daemon/executors/log_capture.h"

#include <span>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/base/text.h"

namespace quantized {
namespace {

constexpr size_t kMaxLineBytes = 4096;
constexpr size_t kTailBytes = 4096;

}  // namespace

absl::StatusOr<LogCapture> LogCapture::Create(const std::filesystem::path& path,
                                              uint64_t max_bytes) {
  RETURN_IF_ERROR(CreateDirectories(path.parent_path(), 0700));
  ASSIGN_OR_RETURN(File file, File::OpenForWrite(path));
  RETURN_IF_ERROR(file.Truncate(0));
  return LogCapture(std::move(file), max_bytes);
}

void LogCapture::Append(std::string_view bytes) {
  line_.append(bytes);
  const size_t last_line_feed = line_.rfind('\n');
  size_t whole = last_line_feed == std::string::npos ? 0 : last_line_feed + 1;
  if (line_.size() - whole > kMaxLineBytes) whole = line_.size();
  Write(std::string_view(line_).substr(0, whole));
  line_.erase(0, whole);
}

void LogCapture::Finish() {
  if (line_.empty()) return;
  line_.push_back('\n');
  Write(line_);
  line_.clear();
}

void LogCapture::Write(std::string_view lines) {
  if (lines.empty()) return;
  const std::string printable = PrintableText(lines);
  tail_.append(printable);
  if (tail_.size() > 4 * kTailBytes) tail_.erase(0, tail_.size() - kTailBytes);
  if (full_) return;
  std::string_view kept = printable;
  std::string cut;
  if (size_bytes_ + printable.size() > max_bytes_) {
    full_ = true;
    cut =
        absl::StrCat(printable.substr(0, printable.rfind('\n', max_bytes_ - size_bytes_) + 1),
                     "(the log ends here: the worker printed more than ", max_bytes_, " bytes)\n");
    kept = cut;
  }
  if (file_.WriteAt(size_bytes_, std::as_bytes(std::span(kept))).ok()) size_bytes_ += kept.size();
}

std::string LogCapture::Tail() const {
  if (tail_.size() <= kTailBytes) return tail_;
  const std::string_view last = std::string_view(tail_).substr(tail_.size() - kTailBytes);
  const size_t line_feed = last.find('\n');  // a cut line tells little
  return std::string(line_feed + 1 < last.size() ? last.substr(line_feed + 1) : last);
}

}  // namespace quantized
