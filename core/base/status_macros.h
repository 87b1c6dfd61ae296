// RETURN_IF_ERROR(expression) << "context";
// ASSIGN_OR_RETURN(auto x, expression);   ASSIGN_OR_RETURN(auto x, expression, << "context");
// Both return a failed status to the caller with "context: " put before its message; code, error
// and suggestion stay. The context is evaluated only on failure.
#pragma once

#include <sstream>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace quantized::internal {

// Collects the context and becomes the status that is returned.
class StatusWithContext {
 public:
  explicit StatusWithContext(absl::Status status) : status_(std::move(status)) {}

  template <typename T>
  StatusWithContext& operator<<(const T& part) {
    context_ << part;
    return *this;
  }

  operator absl::Status() const {  // NOLINT(google-explicit-constructor)
    const std::string context = context_.str();
    if (context.empty()) return status_;
    absl::Status result(status_.code(), context + ": " + std::string(status_.message()));
    status_.ForEachPayload(
        [&](absl::string_view url, const absl::Cord& payload) { result.SetPayload(url, payload); });
    return result;
  }
  template <typename T>
  operator absl::StatusOr<T>() const {  // NOLINT(google-explicit-constructor)
    return static_cast<absl::Status>(*this);
  }

 private:
  absl::Status status_;
  std::ostringstream context_;
};

}  // namespace quantized::internal

#define RETURN_IF_ERROR(expression)                                          \
  if (absl::Status quantized_status = (expression); quantized_status.ok()) { \
  } else                                                                     \
    return ::quantized::internal::StatusWithContext(std::move(quantized_status))

#define QUANTIZED_CONCAT_INNER(a, b) a##b
#define QUANTIZED_CONCAT(a, b) QUANTIZED_CONCAT_INNER(a, b)
#define ASSIGN_OR_RETURN(target, expression, ...)                                                 \
  QUANTIZED_ASSIGN_OR_RETURN(QUANTIZED_CONCAT(quantized_statusor_, __LINE__), target, expression, \
                             __VA_ARGS__)
#define QUANTIZED_ASSIGN_OR_RETURN(statusor, target, expression, ...)               \
  auto statusor = (expression);                                                     \
  if (!statusor.ok()) {                                                             \
    return ::quantized::internal::StatusWithContext(statusor.status()) __VA_ARGS__; \
  }                                                                                 \
  target = std::move(statusor).value()
