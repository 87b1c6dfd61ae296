#include "client/rpc/error_detail.h"

#include "absl/strings/cord.h"
#include "core/base/error.h"

namespace quantized {
namespace {

constexpr absl::string_view kLogTailUrl = "type.quantized/log-tail";

Error ErrorOfNumber(int number) {
  // A number that this build does not know is kInternal (error.proto).
  const bool known = number >= 1 && number <= static_cast<int>(AllErrors().size());
  return known ? static_cast<Error>(number) : Error::kInternal;
}

}  // namespace

absl::Status StatusOf(const v1::ErrorDetail& detail) {
  absl::Status status =
      MakeError(ErrorOfNumber(detail.error()), detail.message(), detail.suggestion());
  if (!detail.log_tail().empty()) status.SetPayload(kLogTailUrl, absl::Cord(detail.log_tail()));
  return status;
}

std::string LogTailOf(const absl::Status& status) {
  const auto payload = status.GetPayload(kLogTailUrl);
  return payload ? std::string(*payload) : "";
}

}  // namespace quantized
