// What the Hub tells about a model, and what its refusals mean.
// https://huggingface.co/docs/hub/api: GET /api/models/NAME/revision/REVISION?blobs=true
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "daemon/hub/http.h"
#include "daemon/hub/hub_id.h"
#include "daemon/hub/remote_file.h"
#include "daemon/hub/retry.h"

namespace quantized {

// The commit that `id` names now, and its files. Errors: those of HubRefusal; kIo when the Hub does
// not answer; kValidationFailed when its answer is not what it must be: hashes, sizes, a path that
// would leave its folder, or another commit than was asked for.
absl::StatusOr<RepositoryInfo> FetchRepositoryInfo(HttpClient& client, const HubId& id,
                                                   Retries retries);

// The answer of FetchRepositoryInfo, read.
absl::StatusOr<RepositoryInfo> ParseRepositoryInfo(const HubId& id, std::string_view text);

// Where the bytes of a file are.
std::string FileUrl(std::string_view endpoint, const HubId& id, std::string_view commit,
                    std::string_view path);

// What a status that is no success means for `what`, which is empty for the model, else a file of
// it: kModelNotFound, kAuthenticationRequired, or kIo for any other. The Hub tells a missing model
// from nobody's business only to who may know: without a token both are "not found".
absl::Status HubRefusal(const HttpSettings& settings, const HubId& id, std::string_view what,
                        const HttpResponse& response);

}  // namespace quantized
