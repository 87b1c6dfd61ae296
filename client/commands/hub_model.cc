#include "client/commands/hub_model.h"

#include <fmt/format.h>
#include <stdlib.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "client/commands/ask_fetcher.h"
#include "client/render/fetcher_answer.h"
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

absl::StatusOr<HubHeaders> HubHeaders::Fetch(const std::string& hub_id, CommandContext& context) {
  HubHeaders headers;
  ASSIGN_OR_RETURN(headers.folder_, MakeTemporaryFolder());
  ASSIGN_OR_RETURN(const std::string answer,
                   AskFetcher(context, fmt::format("the look at model '{}'", hub_id),
                              {"headers", hub_id, headers.folder_}));
  ASSIGN_OR_RETURN(headers.path_, FetchedPath(answer));
  return headers;
}

HubHeaders::HubHeaders(HubHeaders&& other) noexcept
    : folder_(std::exchange(other.folder_, {})), path_(std::move(other.path_)) {}

HubHeaders::~HubHeaders() {
  std::error_code ignored;
  if (!folder_.empty()) fs::remove_all(folder_, ignored);
}

}  // namespace quantized
