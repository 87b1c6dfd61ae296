// What a cache holds, whether it is right, and what of it can go.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "daemon/hub/hub_cache.h"

namespace quantized {

struct CachedSnapshot {
  std::string commit;
  std::vector<std::string> revisions;  // that name it
  size_t files = 0;
  uint64_t size_bytes = 0;
  std::filesystem::file_time_type last_used;
};

struct CachedRepository {
  std::string name;                       // "org/name"
  std::vector<CachedSnapshot> snapshots;  // by commit
  uint64_t size_bytes = 0;                // of its blobs
  uint64_t incomplete_bytes = 0;          // of downloads that did not end
};

// All models in the cache, by name. What a killed process left half made (IsTemporaryName) counts
// for nothing, here as at VerifyCache. Errors: kIo for a folder that cannot be read.
absl::StatusOr<std::vector<CachedRepository>> ListCache(const HubCache& cache);

struct VerifiedCache {
  size_t files = 0;
  uint64_t size_bytes = 0;
  // Blobs whose bytes are not what their name says, and links in snapshots that lead nowhere.
  std::vector<std::filesystem::path> wrong;
  // Blobs and folders that cannot be read; stay where they are.
  std::vector<std::filesystem::path> unreadable;
};

// Hashes every blob that can be read. `remove` removes what is wrong, with the links to it, so that
// it is fetched again. Errors: kIo when something cannot be removed; kCancelled.
absl::StatusOr<VerifiedCache> VerifyCache(const HubCache& cache, bool remove,
                                          const std::stop_token& stop);

struct PrunedCache {
  std::vector<std::string> snapshots;  // "org/name@COMMIT"
  size_t files = 0;
  uint64_t freed_bytes = 0;
  std::vector<std::string> skipped;  // "org/name: why"
};

// Removes what no snapshot needs: downloads that did not end, blobs without a link, and what killed
// processes left half made. With `older_than`, first the snapshots that were not used for so long.
// What a process fetches is left alone, and so is a model whose folder cannot be read wholly: a
// link that does not show may lead to any blob. Errors: kIo.
absl::StatusOr<PrunedCache> PruneCache(const HubCache& cache,
                                       std::optional<std::chrono::hours> older_than);

}  // namespace quantized
