// OpenModelSource: the one place that knows which source reads which kind of model.
#include <utility>

#include "core/base/status_macros.h"
#include "core/source/gguf_source.h"
#include "core/source/hf_source.h"
#include "core/source/locate.h"
#include "core/source/model_source.h"

namespace quantized {

absl::StatusOr<std::unique_ptr<ModelSource>> OpenModelSource(const std::filesystem::path& path,
                                                             const SourceOptions& options) {
  ASSIGN_OR_RETURN(const LocatedModel model, LocateModel(path));
  if (model.kind == ModelKind::kHfDirectory) return OpenHfSource(model.path, options);
  return GgufSource::Open(model.path);
}

}  // namespace quantized
