#include "client/commands/hub_model.h"

#include <fmt/format.h>
#include <stdlib.h>

#include <cerrno>
#include <system_error>
#include <utility>
#include <vector>

#include "client/commands/ask_fetcher.h"
#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/status_macros.h"

namespace quantized {
namespace {

namespace fs = std::filesystem;

absl::StatusOr<fs::path> MakeTemporaryFolder() {
  std::error_code error;
  std::string name = fs::temp_directory_path(error) / "llm-quantize-XXXXXX";
  if (error || mkdtemp(name.data()) == nullptr) {
    return ErrnoError(error ? error.value() : errno, "create folder", name);
  }
  return name;
}

}  // namespace

absl::StatusOr<HubHeaders> HubHeaders::Fetch(const std::string& hub_id, Texts texts,
                                             CommandContext& context) {
  HubHeaders headers;
  ASSIGN_OR_RETURN(headers.folder_, MakeTemporaryFolder());
  // Named as the model, whose name is part of what is planned.
  const fs::path name = fs::path(hub_id.substr(0, hub_id.find('@'))).filename();
  std::vector<std::string> words = {"headers", hub_id, headers.folder_ / name};
  if (texts == Texts::kAll) words.push_back("--all-texts");
  ASSIGN_OR_RETURN(
      const std::string answer,
      AskFetcher(context, fmt::format("the look at model '{}'", hub_id), std::move(words)));
  ASSIGN_OR_RETURN(headers.path_, FetchedPath(answer));
  return headers;
}

HubHeaders::HubHeaders(HubHeaders&& other) noexcept
    : folder_(std::exchange(other.folder_, {})), path_(std::move(other.path_)) {}

HubHeaders& HubHeaders::operator=(HubHeaders&& other) noexcept {
  std::swap(folder_, other.folder_);
  std::swap(path_, other.path_);
  return *this;
}

HubHeaders::~HubHeaders() {
  std::error_code ignored;
  if (!folder_.empty()) fs::remove_all(folder_, ignored);
}

absl::StatusOr<PinnedModel> PinHubModel(const std::string& hub_id, CommandContext& context) {
  ASSIGN_OR_RETURN(
      const std::string answer,
      AskFetcher(context, fmt::format("the look at model '{}'", hub_id), {"pin", hub_id}));
  return ParsePinnedModel(answer);
}

}  // namespace quantized
