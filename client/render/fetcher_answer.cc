#include "client/render/fetcher_answer.h"

#include "client/render/json_access.h"
#include "core/base/error.h"

namespace quantized {

std::string FetcherMessage(std::string_view line) {
  const Json event = ParsedJson(line);
  return TextAt(event, "event") == "message" ? TextAt(event, "message") : "";
}

absl::StatusOr<PinnedModel> ParsePinnedModel(std::string_view answer) {
  const Json pinned = ParsedJson(answer);
  PinnedModel result;
  v1::HubModel& model = result.model;
  model.set_repository(TextAt(pinned, "repository"));
  model.set_revision(TextAt(pinned, "revision"));
  model.set_commit(TextAt(pinned, "commit"));
  model.set_endpoint(TextAt(pinned, "endpoint"));
  model.set_offline(FlagAt(pinned, "offline"));
  model.set_cache_dir(TextAt(pinned, "cache_dir"));
  model.set_shared_cache_dir(TextAt(pinned, "shared_cache_dir"));
  model.set_certificates(TextAt(pinned, "certificates"));
  result.token = TextAt(pinned, "token");
  model.set_has_token(!result.token.empty());
  if (model.repository().empty() || model.commit().empty() || model.endpoint().empty() ||
      model.cache_dir().empty()) {
    return MakeError(Error::kInternal, "quantize-fetch does not tell all that a job needs");
  }
  return result;
}

absl::StatusOr<FetchedHeaders> ParseFetchedHeaders(std::string_view answer) {
  const Json fetched = ParsedJson(answer);
  FetchedHeaders headers = {.path = TextAt(fetched, "path"),
                            .missing_bytes = CountAt(fetched, "missing_bytes")};
  if (headers.path.empty()) {
    return MakeError(Error::kInternal, "quantize-fetch tells no path of the model");
  }
  return headers;
}

}  // namespace quantized
