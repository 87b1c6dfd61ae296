#include "daemon/hub/fetch_model.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <numeric>
#include <optional>
#include <system_error>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "daemon/hub/blob_queue.h"
#include "daemon/hub/cached_model.h"
#include "daemon/hub/hub_api.h"
#include "daemon/hub/hub_cache.h"
#include "daemon/hub/model_files.h"

namespace quantized {
namespace {

namespace fs = std::filesystem;

// At asking the Hub, where a cache holds a whole model to go on with.
constexpr int kAttemptsWithCopy = 2;

// When a snapshot of ours was last used: what pruning by age goes by. Best effort: a cache may be
// read-only.
void Touch(const fs::path& folder) { ::utimensat(AT_FDCWD, folder.c_str(), nullptr, 0); }

std::vector<RemoteFile> AllFiles(const ModelFiles& chosen) {
  std::vector<RemoteFile> files = chosen.descriptions;
  files.insert(files.end(), chosen.weights.begin(), chosen.weights.end());
  return files;
}

FetchedModel Describe(const HubCache& cache, const HubId& id, std::string_view commit,
                      const ModelFiles& chosen) {
  const std::vector<RemoteFile> files = AllFiles(chosen);
  FetchedModel model{.commit = std::string(commit), .path = cache.SnapshotPath(id, commit)};
  if (!chosen.gguf.empty()) model.path /= chosen.gguf;
  model.files = files.size();
  for (const RemoteFile& file : files) model.size_bytes += file.size_bytes;
  return model;
}

absl::Status NotInCache(const HubId& id, std::string_view missing) {
  return MakeError(Error::kModelNotFound,
                   StrCat("Model '", id.name, "' is not in the cache",
                          missing.empty() ? "" : StrCat(" as a whole: ", missing),
                          ", and HF_HUB_OFFLINE keeps it from being fetched"),
                   "Unset HF_HUB_OFFLINE to download it, or provide a local path");
}

std::vector<fs::path> CachesOf(const HubSettings& settings) {
  if (settings.shared_cache.empty()) return {settings.cache};
  return {settings.cache, settings.shared_cache};
}

std::optional<RepositoryInfo> ResolveInCache(const HubCache& cache, const HubId& id) {
  const std::optional<std::string> commit = cache.CommitOf(id);
  if (!commit) return std::nullopt;
  auto files = cache.ReadTree(id, *commit);
  if (!files) return std::nullopt;
  return RepositoryInfo{.commit = *commit, .files = *std::move(files)};
}

// A model that a cache holds as a whole.
struct WholeModel {
  HubCache cache;
  bool is_ours = false;
  std::string commit;
  ModelFiles chosen;
};

absl::StatusOr<WholeModel> FindWhole(const HubSettings& settings, const HubId& id) {
  std::string missing;
  for (const fs::path& root : CachesOf(settings)) {
    const HubCache cache(root);
    ASSIGN_OR_RETURN(CachedModel cached, FindCachedModel(cache, id));
    if (cached.missing.empty() && cached.chosen) {
      return WholeModel{.cache = cache,
                        .is_ours = root == settings.cache,
                        .commit = std::move(cached.commit),
                        .chosen = *std::move(cached.chosen)};
    }
    if (missing.empty()) missing = cached.missing;
  }
  return NotInCache(id, missing);
}

absl::StatusOr<std::optional<std::string>> FetchIndex(const FetchContext& context,
                                                      const HubCache& cache, const HubId& id,
                                                      const RepositoryInfo& info) {
  const std::optional<RemoteFile> index = FindWeightIndex(info.files);
  if (!index) return std::nullopt;
  if (index->size_bytes > kMaxIndexBytes) {
    return MakeError(Error::kValidationFailed,
                     StrCat("model '", id.name, "': ", index->path, " has ", index->size_bytes,
                            " bytes, at most ", kMaxIndexBytes, " are accepted"));
  }
  FetchContext quiet = context;
  quiet.on_progress = [](const FetchProgress&) {};
  const std::vector<RemoteFile> files = {*index};
  RETURN_IF_ERROR(BlobQueue(quiet, cache, id, info.commit, files).Run());
  ASSIGN_OR_RETURN(std::string text,
                   ReadFile(cache.SnapshotPath(id, info.commit) / index->path, kMaxIndexBytes));
  return text;
}

// ResolveModel. `existence` is what the caller knows; a cache may know more.
absl::StatusOr<RepositoryInfo> Resolve(const FetchContext& context, const HubId& id,
                                       Existence existence, const RetryRules& retries) {
  const HubSettings& settings = context.settings;
  if (settings.offline || IsHex(id.revision, 40)) {
    for (const fs::path& root : CachesOf(settings)) {
      if (auto info = ResolveInCache(HubCache(root), id)) return *std::move(info);
    }
  }
  if (settings.offline) return NotInCache(id, "");
  for (const fs::path& root : CachesOf(settings)) {
    if (HubCache(root).Knows(id)) existence = Existence::kSeen;
  }
  RetryRules rules = retries;
  const bool has_copy = FindWhole(settings, id).ok();
  if (has_copy) rules.attempts = kAttemptsWithCopy;
  HttpClient client(context.http(), context.stop);
  TellingWaiter waiter = context.telling_waiter();
  absl::StatusOr<RepositoryInfo> info =
      FetchRepositoryInfo(client, id, existence, Retries(rules, waiter));
  const bool is_refused = !info.ok() && ErrorOf(info.status()) == Error::kAuthenticationRequired;
  if (!is_refused || !has_copy) return info;
  return MakeError(Error::kAuthenticationRequired, std::string(info.status().message()),
                   StrCat(SuggestionOf(info.status()),
                          ", or set HF_HUB_OFFLINE=1 to take what the cache holds"));
}

}  // namespace

absl::StatusOr<RepositoryInfo> ResolveModel(const FetchContext& context, const HubId& id,
                                            const RetryRules& retries) {
  return Resolve(context, id, Existence::kUnknown, retries);
}

absl::StatusOr<FetchedModel> InsteadOfHub(const FetchContext& context, const HubId& id,
                                          const absl::Status& failure) {
  if (ErrorOf(failure) != Error::kIo) return failure;
  absl::StatusOr<FetchedModel> here = FindFetchedModel(context, id);
  if (!here.ok()) return failure;
  context.Tell(StrCat("Model '", id.name, "' is taken from the cache, commit ", here->commit,
                      ", as the Hub cannot be asked: ", failure.message()));
  return here;
}

absl::StatusOr<FetchedModel> FindFetchedModel(const FetchContext& context, const HubId& id) {
  ASSIGN_OR_RETURN(const WholeModel whole, FindWhole(context.settings, id));
  if (whole.is_ours) Touch(whole.cache.SnapshotPath(id, whole.commit));
  return Describe(whole.cache, id, whole.commit, whole.chosen);
}

namespace {

// Whoever has it keeps prune from the repository.
absl::StatusOr<CacheLock> ShareRepository(const FetchContext& context, const HubCache& cache,
                                          const HubId& id) {
  return CacheLock::TakeShared(cache.RepositoryLockPath(id), context.stop);
}

// Others than prune may remove files, too, huggingface_hub's own care of its cache for one.
absl::Status CheckWhole(const HubCache& cache, const HubId& id, std::string_view commit,
                        const std::vector<RemoteFile>& files) {
  for (const RemoteFile& file : files) {
    if (cache.HasFile(id, commit, file)) continue;
    return MakeError(Error::kIo,
                     StrCat("file '", file.path, "' of model '", id.name,
                            "' was removed from the cache while the model was fetched"),
                     "Give the same command again");
  }
  return absl::OkStatus();
}

// Takes a model of huggingface_hub's cache into ours when the hashes of all its files are right.
absl::StatusOr<FetchedModel> AdoptModel(const FetchContext& context, const HubId& id,
                                        const WholeModel& theirs) {
  const std::vector<RemoteFile> files = AllFiles(theirs.chosen);
  for (const RemoteFile& file : files) {
    if (!file.hash().empty()) continue;
    return MakeError(
        Error::kValidationFailed,
        StrCat("file '", file.path, "' of model '", id.name, "' cannot be checked: nothing in ",
               theirs.cache.root().string(), " tells its hash"),
        StrCat("Give the path of a folder that you trust: ",
               theirs.cache.SnapshotPath(id, theirs.commit).string()));
  }
  const HubCache cache(context.settings.cache);
  ASSIGN_OR_RETURN(const CacheLock shared, ShareRepository(context, cache, id));
  // A part must not pass for the whole: the list comes first, and without one the weights come
  // last.
  if (auto tree = theirs.cache.ReadTree(id, theirs.commit)) {
    RETURN_IF_ERROR(cache.WriteTree(id, {.commit = theirs.commit, .files = *std::move(tree)}));
  }
  FetchContext offline = context;
  offline.settings.offline = true;
  for (const auto* part : {&theirs.chosen.descriptions, &theirs.chosen.weights}) {
    RETURN_IF_ERROR(BlobQueue(offline, cache, id, theirs.commit, *part).Run());
  }
  RETURN_IF_ERROR(CheckWhole(cache, id, theirs.commit, files));
  if (!IsHex(id.revision, 40)) {
    RETURN_IF_ERROR(cache.WriteRef(id, theirs.commit));
  }
  return FindFetchedModel(context, id);
}

// What a cache holds, without asking the Hub, as a path in our cache.
absl::StatusOr<FetchedModel> TakeFromCache(const FetchContext& context, const HubId& id) {
  ASSIGN_OR_RETURN(const WholeModel whole, FindWhole(context.settings, id));
  return whole.is_ours ? FindFetchedModel(context, id) : AdoptModel(context, id, whole);
}

// To be called with the repository shared.
absl::StatusOr<FetchedModel> FetchInto(const HubCache& cache, const FetchContext& context,
                                       const HubId& id, Existence existence) {
  const absl::StatusOr<RepositoryInfo> info =
      Resolve(context, id, existence, context.rules.retries);
  if (!info.ok()) {
    RETURN_IF_ERROR(InsteadOfHub(context, id, info.status()).status());
    return TakeFromCache(context, id);
  }
  ASSIGN_OR_RETURN(const std::optional<std::string> index, FetchIndex(context, cache, id, *info));
  ASSIGN_OR_RETURN(const ModelFiles chosen, ChooseModelFiles(id.name, info->files, index));
  const std::vector<RemoteFile> files = AllFiles(chosen);
  BlobQueue queue(context, cache, id, info->commit, files);
  RETURN_IF_ERROR(queue.Run());
  RETURN_IF_ERROR(CheckWhole(cache, id, info->commit, files));
  RETURN_IF_ERROR(cache.WriteTree(id, *info));
  // Last, so that offline the revision is a snapshot that is whole.
  if (!IsHex(id.revision, 40)) {
    RETURN_IF_ERROR(cache.WriteRef(id, info->commit));
  }
  Touch(cache.SnapshotPath(id, info->commit));
  FetchedModel model = Describe(cache, id, info->commit, chosen);
  model.fetched_bytes = queue.fetched_bytes();
  return model;
}

bool HoldsWhole(const HubCache& cache, const HubId& id) {
  const absl::StatusOr<CachedModel> cached = FindCachedModel(cache, id);
  return cached.ok() && cached->missing.empty() && cached->chosen;
}

}  // namespace

absl::StatusOr<FetchedModel> FetchModel(const FetchContext& context, const HubId& id) {
  if (context.settings.offline) return TakeFromCache(context, id);
  const HubCache cache(context.settings.cache);
  ASSIGN_OR_RETURN(const CacheLock shared, ShareRepository(context, cache, id));
  return FetchInto(cache, context, id, Existence::kUnknown);
}

absl::StatusOr<FetchedModel> FetchPinnedModel(const FetchContext& context, const HubId& id,
                                              const std::string& commit) {
  const HubId pinned = {.name = id.name, .revision = commit};
  if (context.settings.offline) return TakeFromCache(context, pinned);
  const HubCache cache(context.settings.cache);
  ASSIGN_OR_RETURN(const CacheLock shared, ShareRepository(context, cache, id));
  ASSIGN_OR_RETURN(FetchedModel model, FetchInto(cache, context, pinned, Existence::kSeen));
  if (!IsHex(id.revision, 40) && HoldsWhole(cache, pinned)) {
    RETURN_IF_ERROR(cache.WriteRef(id, commit));
  }
  return model;
}

}  // namespace quantized
