#include "client/commands/hub_model.h"

#include <fmt/format.h>

#include <utility>
#include <vector>

#include "client/commands/ask_fetcher.h"
#include "core/base/status_macros.h"

namespace quantized {

absl::StatusOr<HubHeaders> HubHeaders::Fetch(const std::string& hub_id, Texts texts,
                                             CommandContext& context) {
  HubHeaders headers;
  headers.signals_ = std::make_unique<HeldSignals>();
  ASSIGN_OR_RETURN(headers.folder_, TempFolder::Create("llm-quantize"));
  // Named as the model, whose name is part of what is planned.
  const std::filesystem::path name =
      std::filesystem::path(hub_id.substr(0, hub_id.find('@'))).filename();
  std::vector<std::string> words = {"headers", hub_id, headers.folder_->path() / name};
  if (texts == Texts::kAll) words.push_back("--all-texts");
  ASSIGN_OR_RETURN(
      const std::string answer,
      AskFetcher(context, fmt::format("the look at model '{}'", hub_id), std::move(words)));
  ASSIGN_OR_RETURN(FetchedHeaders fetched, ParseFetchedHeaders(answer));
  headers.path_ = std::move(fetched.path);
  headers.missing_bytes_ = fetched.missing_bytes;
  return headers;
}

absl::StatusOr<PinnedModel> PinHubModel(const std::string& hub_id, CommandContext& context) {
  ASSIGN_OR_RETURN(
      const std::string answer,
      AskFetcher(context, fmt::format("the look at model '{}'", hub_id), {"pin", hub_id}));
  return ParsePinnedModel(answer);
}

}  // namespace quantized
