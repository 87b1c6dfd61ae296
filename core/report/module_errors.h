// How far each weight matrix of a quantized model is from its source's.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/base/job_context.h"
#include "core/forward/forward_config.h"
#include "core/forward/tensor_source.h"

namespace quantized {

struct ModuleError {
  std::string module;             // "model.layers.0.self_attn.q_proj"
  std::optional<uint32_t> layer;  // nothing outside layers
  std::string kind;               // "attn_q", "ffn_down_exps", "token_embd"
  std::string type;               // as the quantized model stores it: "Q4_K", "4-bit"
  uint64_t rows = 0, cols = 0;
  // |W - Ŵ|² / |W|². Nothing where it says nothing: AWQ moves scale between weights.
  std::optional<double> weight_error;
  // |XWᵀ - XŴᵀ|² / |XWᵀ|² on calibration's inputs X. Nothing where none was measured.
  std::optional<double> output_error;
};

// weight_error of embedding, output head and all linears, experts' and routers' too: those outside
// layers, then layer by layer, in the order of the architecture's rules. Of a vocabulary that was
// cut the common rows count. What `quantized` does not have but may lack (a tied head) is left out.
// Sums are in double, in an order that does not depend on the number of threads. Holds two pieces
// of at most 16 MiB (or a row) per thread. Tells the context's progress: layers done ("layers").
// Errors: those of TensorSource::ReadRows; kValidationFailed, naming the tensor, for one that is
// missing, has another shape than in `source`, or has values that are not finite; kCancelled.
absl::StatusOr<std::vector<ModuleError>> MeasureTensorErrors(const ForwardConfig& config,
                                                             const TensorSource& source,
                                                             const TensorSource& quantized,
                                                             JobContext& context);

}  // namespace quantized
