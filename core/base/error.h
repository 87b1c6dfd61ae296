// The errors a user can meet, and the one table that gives each its exit code, JSON `error_type`
// and status code. An error travels as an absl::Status that carries its Error and a suggestion as
// a typed payload; the daemon turns that into a proto detail and the client turns it back
// (proto/quantized/v1/error.proto), so both ends speak of the same row.
//
// Messages: lower case where internal, the contract's form where a user reads them; no full stop;
// they say what, where, found and expected.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace quantized {

// Numbers are stable: they are stored in SQLite and sent over the wire.
enum class Error {
  kInternal = 1,         // a fault of ours, or one we have no better word for
  kInvalidArgument = 2,  // options, levels, names, output already there
  kModelNotFound = 3,    // no such path or model id, or nothing loadable in it
  kAuthenticationRequired = 4,
  kOutOfMemory = 5,       // does not fit, or allocation failed
  kValidationFailed = 6,  // a model file or an output is not what it must be
  kCheckpoint = 7,        // damaged, or belongs to another job
  kUnsupportedConversion = 8,
  kCancelled = 9,        // the owner said no
  kNotImplemented = 10,  // in the contract, not in this version
  kIo = 11,              // the file system refused or failed
  kDiskFull = 12,
  kDaemonUnavailable = 13,  // no daemon could be reached or started
  kVersionSkew = 14,        // daemon, client, worker or store of another version
  kWorkerCrashed = 15,
  kJobNotFound = 16,
};

struct ErrorRow {
  Error error;
  std::string_view error_type;  // JSON `error_type`
  int exit_code;                // the contract's exit code, also JSON `error_code`
  absl::StatusCode status_code;
};

// One row per Error, ordered by number. Nothing else maps errors.
std::span<const ErrorRow> AllErrors();
const ErrorRow& RowOf(Error error);

// A failed status with `error` and `suggestion` (what to do about it; may be empty) attached.
absl::Status MakeError(Error error, std::string_view message, std::string_view suggestion = "");

// What a failed status says. A status without our payload is mapped by its code: kNotFound and the
// like come from the row with that code, anything unknown is kInternal. `status` must not be OK.
Error ErrorOf(const absl::Status& status);
std::string SuggestionOf(const absl::Status& status);

// A failed `errno` of operation `what` on `path`: kDiskFull for ENOSPC and EDQUOT, kOutOfMemory for
// ENOMEM, otherwise kIo. Message: "cannot WHAT PATH: strerror".
absl::Status ErrnoError(int error_number, std::string_view what, std::string_view path);

}  // namespace quantized
