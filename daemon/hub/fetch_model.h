// A model of the Hub, brought into the cache: what its name means now, which of its files a
// quantization needs, those that are not there yet, and the folder that holds them all.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <stop_token>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "daemon/hub/download.h"
#include "daemon/hub/hub_id.h"
#include "daemon/hub/hub_settings.h"
#include "daemon/hub/remote_file.h"
#include "daemon/hub/retry.h"
#include "daemon/hub/without_token.h"

namespace quantized {

struct FetchProgress {
  uint64_t done_bytes = 0;
  // Of all files, those in the cache included: they are done from the first report on. Without
  // what another process brings in meanwhile.
  uint64_t total_bytes = 0;
  bool is_fetching = false;  // something was missing, and has begun to come
};

// How fetching is done, and whom it tells. The functions are called from any thread, one at a time.
struct FetchContext {
  HubSettings settings;
  DownloadRules rules;
  RetryRules questions;  // for what is asked before a job, or in place of one
  std::chrono::seconds connect_timeout{15};
  std::chrono::seconds stall_timeout{30};
  Waiter& waiter;
  std::stop_token stop;
  std::function<void(const FetchProgress&)> on_progress = [](const FetchProgress&) {};
  std::function<void(std::string_view)> on_message = [](std::string_view) {};

  // Tells a person `text`, which may quote a server.
  void Tell(std::string_view text) const { on_message(WithoutToken(text, settings.token)); }

  // For what is asked one after the other: its waits are told. *this must outlive it.
  TellingWaiter telling_waiter() const {
    return {waiter, [this](std::string_view text) { Tell(text); }};
  }

  HttpSettings http() const {
    return {.endpoint = settings.endpoint,
            .token = settings.token,
            .certificates = settings.certificates,
            .connect_timeout = connect_timeout,
            .stall_timeout = stall_timeout};
  }
};

struct FetchedModel {
  std::string commit;
  std::filesystem::path path;  // the snapshot's folder, or the GGUF file in it
  size_t files = 0;
  uint64_t size_bytes = 0;     // of the files
  uint64_t fetched_bytes = 0;  // that came over the network for them
  uint64_t missing_bytes = 0;  // where this is a stand-in: of the model, what no cache has
};

// The commit that `id` names now, and its files. A commit whose files the cache knows, and all when
// offline, is told without asking the Hub; where a cache holds the whole model a Hub that does
// not answer is soon given up, else when `retries` say so. Errors: those of FetchRepositoryInfo;
// kModelNotFound offline.
absl::StatusOr<RepositoryInfo> ResolveModel(const FetchContext& context, const HubId& id,
                                            const RetryRules& retries);

// What a cache, ours or huggingface_hub's, holds as a whole; asks nobody. For a look at it: what is
// huggingface_hub's was not checked. Errors: kModelNotFound, naming what is missing; those of
// ChooseModelFiles.
absl::StatusOr<FetchedModel> FindFetchedModel(const FetchContext& context, const HubId& id);

// After `failure` to ask the Hub for `id`: where it could not be reached and a cache holds the
// whole model, says so and gives that; else `failure`.
absl::StatusOr<FetchedModel> InsteadOfHub(const FetchContext& context, const HubId& id,
                                          const absl::Status& failure);

// Fetches what is missing; where the Hub cannot be reached, says so as InsteadOfHub does; then, and
// offline, takes what a cache holds, ours or huggingface_hub's. A file that huggingface_hub's cache
// holds is linked into ours when its hash is right. Errors: those of FetchRepositoryInfo,
// ChooseModelFiles and BlobDownload; kDiskFull before anything is fetched; offline kModelNotFound,
// naming what is missing, and kValidationFailed, naming a file of huggingface_hub's that has
// another hash; kCancelled.
absl::StatusOr<FetchedModel> FetchModel(const FetchContext& context, const HubId& id);

// FetchModel of `commit`, which is what `id` named when somebody asked (PinModel); once it is whole
// in our cache, `id` names it there.
absl::StatusOr<FetchedModel> FetchPinnedModel(const FetchContext& context, const HubId& id,
                                              const std::string& commit);

}  // namespace quantized
