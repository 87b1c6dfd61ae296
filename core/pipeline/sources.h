// The model of a job, as the sources that its levels are made from. A GGUF file is one for all. A
// Hugging Face directory is one for each type of conversion: F16 and BF16 are what the reference
// converter makes of it at that type, all other levels are made of its F32 conversion. A quantized
// one that is converted may be offered as blocks instead.
#pragma once

#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/pipeline/quantize.h"
#include "core/quantize/levels.h"
#include "core/source/model_source.h"

namespace quantized {

// The level of each output of the request. Errors: kInvalidArgument for levels that are unknown or
// the same under two names, one error that names each; for two outputs of one path; for none at
// all.
absl::StatusOr<std::vector<const Recipe*>> RecipesOf(const QuantizeRequest& request);

class ModelSources {
 public:
  // Opens what these levels need. Errors: those of OpenModelSource.
  absl::Status Open(const QuantizeRequest& request, const std::vector<const Recipe*>& recipes);

  // Lives as long as *this. `recipe` was among those of Open.
  const ModelSource& Of(const Recipe& recipe) const;

 private:
  std::optional<kernels::TypeId> blocks_;  // of a conversion
  std::vector<std::pair<kernels::TypeId, std::unique_ptr<ModelSource>>> sources_;
};

}  // namespace quantized
