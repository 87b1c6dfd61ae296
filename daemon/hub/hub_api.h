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

// Whether anything but its name says that there is a model, or was.
enum class Existence { kUnknown, kSeen };

// The commit that `id` names now, and its files, but those whose path is not safe
// (IsSafeRemotePath). Errors: those of HubRefusal; kIo when the Hub does not answer;
// kValidationFailed when its answer is not what it must be: hashes, sizes, or another commit than
// was asked for.
absl::StatusOr<RepositoryInfo> FetchRepositoryInfo(HttpClient& client, const HubId& id,
                                                   Existence existence, Retries retries);

// The answer of FetchRepositoryInfo, read.
absl::StatusOr<RepositoryInfo> ParseRepositoryInfo(const HubId& id, std::string_view text);

// Where the bytes of a file are.
std::string FileUrl(std::string_view endpoint, const HubId& id, std::string_view commit,
                    std::string_view path);

// Whether the Hub itself answered, and not whom it redirects to.
bool IsOfHub(const HttpSettings& settings, const HttpResponse& response);

// What a status that is no success means for `what`, which is empty for the model, else a file of
// it: kModelNotFound, kAuthenticationRequired, or kIo for any other. To who may not read it, the
// Hub answers for a private model as for none: it is not found, unless it was seen (docs/adr/008).
// Of whom the Hub redirects to it is kIo: he knows nothing of models and accounts.
absl::Status HubRefusal(const HttpSettings& settings, const HubId& id, std::string_view what,
                        Existence existence, const HttpResponse& response);

}  // namespace quantized
