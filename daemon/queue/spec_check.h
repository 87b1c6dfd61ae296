// What can be said about a spec without opening a file: the first check of every submit.
#pragma once

#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "quantized/v1/service.pb.h"

namespace quantized {

// Errors: kInvalidArgument names the field, found and expected; kNotImplemented for formats that
// the contract has and this version has not.
absl::Status CheckSubmit(const v1::SubmitJobRequest& request);

// The formats of jobs that this version runs.
std::vector<std::string_view> AcceptedFormats();

}  // namespace quantized
