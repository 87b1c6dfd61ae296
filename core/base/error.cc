#include "core/base/error.h"

#include <array>
#include <cerrno>
#include <cstring>

#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "core/base/check.h"

namespace quantized {
namespace {

constexpr absl::string_view kPayloadUrl = "type.quantized/error";

using absl::StatusCode;
constexpr std::array kErrors = {
    ErrorRow{Error::kInternal, "InternalError", 1, StatusCode::kInternal},
    ErrorRow{Error::kInvalidArgument, "InvalidArgumentError", 2, StatusCode::kInvalidArgument},
    ErrorRow{Error::kModelNotFound, "ModelNotFoundError", 3, StatusCode::kNotFound},
    ErrorRow{Error::kAuthenticationRequired, "AuthenticationRequiredError", 4,
             StatusCode::kUnauthenticated},
    ErrorRow{Error::kOutOfMemory, "OutOfMemoryError", 5, StatusCode::kResourceExhausted},
    ErrorRow{Error::kValidationFailed, "ValidationError", 6, StatusCode::kDataLoss},
    ErrorRow{Error::kCheckpoint, "CheckpointError", 7, StatusCode::kFailedPrecondition},
    ErrorRow{Error::kUnsupportedConversion, "UnsupportedConversionError", 8,
             StatusCode::kInvalidArgument},
    ErrorRow{Error::kCancelled, "CancelledError", 9, StatusCode::kCancelled},
    ErrorRow{Error::kNotImplemented, "NotImplementedError", 1, StatusCode::kUnimplemented},
    ErrorRow{Error::kIo, "IoError", 1, StatusCode::kUnknown},
    ErrorRow{Error::kDiskFull, "DiskFullError", 1, StatusCode::kResourceExhausted},
    ErrorRow{Error::kDaemonUnavailable, "DaemonUnavailableError", 1, StatusCode::kUnavailable},
    ErrorRow{Error::kVersionSkew, "VersionSkewError", 1, StatusCode::kFailedPrecondition},
    ErrorRow{Error::kWorkerCrashed, "WorkerCrashedError", 1, StatusCode::kAborted},
    ErrorRow{Error::kJobNotFound, "JobNotFoundError", 3, StatusCode::kNotFound},
};

constexpr bool OrderedByNumber() {
  for (size_t i = 0; i < kErrors.size(); ++i) {
    if (static_cast<size_t>(kErrors[i].error) != i + 1) return false;
  }
  return true;
}
static_assert(OrderedByNumber(), "kErrors must hold each Error once, in order");

}  // namespace

std::span<const ErrorRow> AllErrors() { return kErrors; }

const ErrorRow& RowOf(Error error) {
  const size_t index = static_cast<size_t>(error) - 1;
  CHECK(index < kErrors.size());
  return kErrors[index];
}

absl::Status MakeError(Error error, std::string_view message, std::string_view suggestion) {
  absl::Status status(RowOf(error).status_code, absl::string_view(message.data(), message.size()));
  status.SetPayload(kPayloadUrl, absl::Cord(absl::StrCat(
                                     static_cast<int>(error), "\n",
                                     absl::string_view(suggestion.data(), suggestion.size()))));
  return status;
}

Error ErrorOf(const absl::Status& status) {
  CHECK(!status.ok());
  if (const auto payload = status.GetPayload(kPayloadUrl)) {
    const std::string text(*payload);
    int number = 0;
    if (absl::SimpleAtoi(text.substr(0, text.find('\n')), &number) && number >= 1 &&
        number <= static_cast<int>(kErrors.size())) {
      return static_cast<Error>(number);
    }
  }
  for (const ErrorRow& row : kErrors) {
    if (row.status_code == status.code()) return row.error;
  }
  return Error::kInternal;
}

std::string SuggestionOf(const absl::Status& status) {
  const auto payload = status.GetPayload(kPayloadUrl);
  if (!payload) return "";
  const std::string text(*payload);
  const size_t end = text.find('\n');
  return end == std::string::npos ? "" : text.substr(end + 1);
}

absl::Status ErrnoError(int error_number, std::string_view what, std::string_view path) {
  Error error = Error::kIo;
  if (error_number == ENOSPC || error_number == EDQUOT) error = Error::kDiskFull;
  if (error_number == ENOMEM) error = Error::kOutOfMemory;
  return MakeError(error, absl::StrCat("cannot ", std::string(what), " ", std::string(path), ": ",
                                       std::strerror(error_number)));
}

}  // namespace quantized
