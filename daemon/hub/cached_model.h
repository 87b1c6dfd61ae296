// What a cache has of a model, without asking the Hub.
#pragma once

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "daemon/hub/hub_cache.h"
#include "daemon/hub/hub_id.h"
#include "daemon/hub/model_files.h"

namespace quantized {

struct CachedModel {
  std::string commit;                // empty: the revision is not known
  std::optional<ModelFiles> chosen;  // what a quantization needs, as far as it can be told
  std::string missing;               // which of it is not there, for a message; empty: nothing
};

// Looks at the snapshot of `id`. Goes by the list of files that came with it; where there is none,
// by the files themselves. Errors: those of ChooseModelFiles, where the whole list is known.
absl::StatusOr<CachedModel> FindCachedModel(const HubCache& cache, const HubId& id);

}  // namespace quantized
