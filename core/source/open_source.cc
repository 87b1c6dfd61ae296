// OpenModelSource: the one place that knows which source reads which kind of model.
#include <utility>

#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/source/gguf_source.h"
#include "core/source/locate.h"
#include "core/source/model_source.h"

namespace quantized {

absl::StatusOr<std::unique_ptr<ModelSource>> OpenModelSource(const std::filesystem::path& path,
                                                             const SourceOptions&) {
  ASSIGN_OR_RETURN(const LocatedModel model, LocateModel(path));
  if (model.kind == ModelKind::kHfDirectory) {
    return MakeError(Error::kNotImplemented,
                     "a Hugging Face directory cannot be opened by this version");
  }
  return GgufSource::Open(model.path);
}

}  // namespace quantized
